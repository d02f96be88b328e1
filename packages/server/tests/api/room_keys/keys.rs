//! `/_matrix/client/v3/room_keys/keys[/{roomId}[/{sessionId}]]`

use futures_util::future::join_all;
use matryx_entity::backed_up_key::BackedUpKey;
use matryx_surrealdb::KeyRange;
use serde_json::{Map, Value, json};

use super::{VERSION, backed_up, create, keys_path, version_path};
use crate::support::{Answer, TestServer, TestUser};

const ROOM: &str = "!room:test.example";
const OTHER_ROOM: &str = "!other:test.example";

async fn put(user: &TestUser, version: &str, segments: &[&str], body: &Value) -> Answer {
    user.put(&keys_path(version, segments))
        .json(body)
        .send()
        .await
}

async fn get(user: &TestUser, version: &str, segments: &[&str]) -> Value {
    user.get(&keys_path(version, segments)).send().await.ok()
}

async fn delete(user: &TestUser, version: &str, segments: &[&str]) -> Value {
    user.delete(&keys_path(version, segments)).send().await.ok()
}

/// The etag and the count that the version shows.
async fn state(user: &TestUser) -> Value {
    let shown = user.get(VERSION).send().await.ok();
    json!({ "etag": shown["etag"], "count": shown["count"] })
}

#[tokio::test]
async fn keeps_keys_at_all_three_levels() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let key = |index| backed_up(true, index, 0);
    let answer = put(&alice, &version, &[ROOM, "a/+b"], &key(1)).await.ok();
    assert_eq!(answer, json!({ "etag": "1", "count": 1 }));
    let body = json!({ "sessions": { "c": key(2), "d": key(3) } });
    let answer = put(&alice, &version, &[ROOM], &body).await.ok();
    assert_eq!(answer, json!({ "etag": "2", "count": 3 }));
    let body = json!({ "rooms": {
        ROOM: { "sessions": { "e": key(4) } },
        OTHER_ROOM: { "sessions": { "a/+b": key(5) } },
    }});
    let answer = put(&alice, &version, &[], &body).await.ok();
    assert_eq!(answer, json!({ "etag": "3", "count": 5 }));
    assert_eq!(state(&alice).await, answer);

    let room = json!({ "sessions": { "a/+b": key(1), "c": key(2), "d": key(3), "e": key(4) } });
    let other = json!({ "sessions": { "a/+b": key(5) } });
    let all = json!({ "rooms": { ROOM: room, OTHER_ROOM: other } });
    assert_eq!(get(&alice, &version, &[]).await, all);
    assert_eq!(get(&alice, &version, &[ROOM]).await, room);
    assert_eq!(get(&alice, &version, &[OTHER_ROOM, "a/+b"]).await, key(5));
}

#[tokio::test]
async fn what_is_not_there_is_empty_or_not_found() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    assert_eq!(get(&alice, &version, &[]).await, json!({ "rooms": {} }));
    assert_eq!(
        get(&alice, &version, &[ROOM]).await,
        json!({ "sessions": {} })
    );
    let answer = alice.get(&keys_path(&version, &[ROOM, "a"])).send().await;
    answer.error(404, "M_NOT_FOUND");
    for segments in [&[][..], &[ROOM][..], &[ROOM, "a"][..]] {
        for version in ["2", "none"] {
            let path = keys_path(version, segments);
            alice.get(&path).send().await.error(404, "M_NOT_FOUND");
            alice.delete(&path).send().await.error(404, "M_NOT_FOUND");
        }
        let empty = json!({ "etag": "0", "count": 0 });
        assert_eq!(delete(&alice, &version, segments).await, empty);
    }
}

#[tokio::test]
async fn removes_keys_at_all_three_levels() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let sessions =
        || json!({ "sessions": { "a": backed_up(true, 0, 0), "b": backed_up(true, 0, 0) } });
    let third = "!third:test.example";
    let body = json!({ "rooms": { ROOM: sessions(), OTHER_ROOM: sessions(), third: sessions() } });
    put(&alice, &version, &[], &body).await.ok();
    let removed = delete(&alice, &version, &[ROOM, "a"]).await;
    assert_eq!(removed, json!({ "etag": "2", "count": 5 }));
    let removed = delete(&alice, &version, &[OTHER_ROOM]).await;
    assert_eq!(removed, json!({ "etag": "3", "count": 3 }));
    let left = get(&alice, &version, &[]).await;
    let mut expected = json!({ "rooms": { ROOM: sessions(), third: sessions() } });
    expected["rooms"][ROOM]["sessions"]
        .as_object_mut()
        .unwrap()
        .remove("a");
    assert_eq!(left, expected);
    let removed = delete(&alice, &version, &[]).await;
    assert_eq!(removed, json!({ "etag": "4", "count": 0 }));
    assert_eq!(state(&alice).await, removed);
    assert_eq!(get(&alice, &version, &[]).await, json!({ "rooms": {} }));
}

#[tokio::test]
async fn keeps_the_better_of_two_keys() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let session = [ROOM, "session"];
    let mut etag = 0;
    // From worse to better, and after each one everything that is not better.
    let ranks = [
        (false, 9, 9),
        (false, 9, 3),
        (false, 4, 7),
        (true, 8, 8),
        (true, 8, 2),
        (true, 1, 5),
    ];
    for (place, (verified, index, forwarded)) in ranks.into_iter().enumerate() {
        let better = backed_up(verified, index, forwarded);
        etag += 1;
        let changed = json!({ "etag": etag.to_string(), "count": 1 });
        assert_eq!(put(&alice, &version, &session, &better).await.ok(), changed);
        for (verified, index, forwarded) in ranks.into_iter().take(place + 1) {
            let mut worse = backed_up(verified, index, forwarded);
            worse["session_data"]["mac"] = json!("other");
            assert_eq!(put(&alice, &version, &session, &worse).await.ok(), changed);
            assert_eq!(get(&alice, &version, &session).await, better);
        }
    }
}

#[tokio::test]
async fn takes_keys_for_the_current_version_only() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let answer = put(&alice, "1", &[ROOM, "a"], &backed_up(true, 0, 0)).await;
    answer.error(404, "M_NOT_FOUND");
    let old = create(&alice).await;
    put(&alice, &old, &[ROOM, "a"], &backed_up(true, 0, 0))
        .await
        .ok();
    let current = create(&alice).await;
    let one = json!({ "b": backed_up(true, 0, 0) });
    let room = json!({ "sessions": one });
    for (segments, body) in [
        (&[ROOM, "b"][..], &one["b"]),
        (&[ROOM][..], &room),
        (&[][..], &json!({ "rooms": { ROOM: room } })),
    ] {
        let refused = put(&alice, &old, segments, body).await;
        let refused = refused.error(403, "M_WRONG_ROOM_KEYS_VERSION");
        assert_eq!(refused["current_version"], current);
        let unknown = put(&alice, "77", segments, body).await;
        unknown.error(404, "M_NOT_FOUND");
    }
    // An old version can still be read and cleaned up.
    assert_eq!(get(&alice, &old, &[ROOM, "a"]).await, backed_up(true, 0, 0));
    assert_eq!(delete(&alice, &old, &[]).await["count"], 0);
    alice.delete(&version_path(&current)).send().await.ok();
    put(&alice, &old, &[ROOM, "b"], &one["b"]).await.ok();
}

#[tokio::test]
async fn takes_many_keys_and_counts_each_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let sessions = |range: std::ops::Range<u64>| {
        let sessions: Map<_, _> = range
            .map(|number| (format!("session {number}"), backed_up(true, number, 0)))
            .collect();
        json!({ "sessions": sessions })
    };
    // Several commits each.
    put(&alice, &version, &[ROOM], &sessions(0..1100))
        .await
        .ok();
    put(&alice, &version, &[ROOM], &sessions(600..1300))
        .await
        .ok();
    put(&alice, &version, &[OTHER_ROOM], &sessions(0..3))
        .await
        .ok();
    assert_eq!(get(&alice, &version, &[ROOM]).await, sessions(0..1300));
    assert_eq!(state(&alice).await["count"], 1303);
    assert_eq!(delete(&alice, &version, &[ROOM]).await["count"], 3);
    assert_eq!(
        get(&alice, &version, &[ROOM]).await,
        json!({ "sessions": {} })
    );
    put(&alice, &version, &[ROOM], &sessions(0..1001))
        .await
        .ok();
    alice.delete(&version_path(&version)).send().await.ok();
    let left: Vec<BackedUpKey> = server.app.store.range(KeyRange::all()).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn counts_right_when_devices_upload_at_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let uploads = (0..20).map(async |upload| {
        // Neighbours bring half of the same sessions.
        let sessions: Map<_, _> = (upload * 5..upload * 5 + 10)
            .map(|number| (format!("s{number}"), backed_up(true, 0, 0)))
            .collect();
        let body = json!({ "sessions": sessions });
        put(&alice, &version, &[ROOM], &body).await.ok();
    });
    join_all(uploads).await;
    assert_eq!(state(&alice).await, json!({ "etag": "20", "count": 105 }));
}

#[tokio::test]
async fn belongs_to_its_user() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let version = create(&alice).await;
    assert_eq!(create(&bob).await, version);
    put(&alice, &version, &[ROOM, "a"], &backed_up(true, 0, 0))
        .await
        .ok();
    assert_eq!(get(&bob, &version, &[]).await, json!({ "rooms": {} }));
    assert_eq!(delete(&bob, &version, &[]).await["count"], 0);
    get(&alice, &version, &[ROOM, "a"]).await;
    let path = keys_path(&version, &[]);
    server.get(&path).send().await.error(401, "M_MISSING_TOKEN");
    server
        .put(&path)
        .json(&json!({ "rooms": {} }))
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn refuses_what_is_no_key_and_what_is_too_large() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let good = backed_up(true, 0, 0);
    let with = |field: &str, value: Value| {
        let mut key = good.clone();
        key[field] = value;
        key
    };
    let sized = |bytes: usize| json!({ "k": "x".repeat(bytes - r#"{"k":""}"#.len()) });
    for field in [
        "first_message_index",
        "forwarded_count",
        "is_verified",
        "session_data",
    ] {
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove(field);
        for key in [missing, with(field, json!("text"))] {
            let answer = put(&alice, &version, &[ROOM, "a"], &key).await;
            answer.error(400, "M_BAD_JSON");
        }
    }
    for (key, status, errcode) in [
        (with("first_message_index", json!(-1)), 400, "M_BAD_JSON"),
        (with("first_message_index", json!(1.5)), 400, "M_BAD_JSON"),
        (with("session_data", json!([])), 400, "M_BAD_JSON"),
        (with("session_data", sized(16_385)), 413, "M_TOO_LARGE"),
    ] {
        let answer = put(&alice, &version, &[ROOM, "a"], &key).await;
        answer.error(status, errcode);
    }
    for session_id in ["x".repeat(256), "a\u{0}b".to_owned()] {
        let answer = put(&alice, &version, &[ROOM, &session_id], &good).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let wrong_room = json!({ "rooms": { "room": { "sessions": { "a": good } } } });
    let answer = put(&alice, &version, &[], &wrong_room).await;
    answer.error(400, "M_BAD_JSON");
    let answer = alice.get(super::KEYS).send().await;
    assert_eq!(answer.status, 400);
    // One bad key, and none of the others is kept.
    let body = json!({ "sessions": { "a": good, "b": with("is_verified", json!(1)) } });
    put(&alice, &version, &[ROOM], &body)
        .await
        .error(400, "M_BAD_JSON");
    assert_eq!(get(&alice, &version, &[]).await, json!({ "rooms": {} }));

    let longest = "x".repeat(255);
    let largest = with("session_data", sized(16_384));
    put(&alice, &version, &[ROOM, &longest], &largest)
        .await
        .ok();
    assert_eq!(get(&alice, &version, &[ROOM, &longest]).await, largest);
}

#[tokio::test]
async fn takes_ten_thousand_keys_at_once_and_no_more() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let sessions = |count: u64| {
        let sessions: Map<_, _> = (0..count)
            .map(|number| (number.to_string(), backed_up(true, 0, 0)))
            .collect();
        json!({ "sessions": sessions })
    };
    let answer = put(&alice, &version, &[ROOM], &sessions(10_001)).await;
    answer.error(413, "M_TOO_LARGE");
    let answer = put(&alice, &version, &[ROOM], &sessions(10_000)).await.ok();
    assert_eq!(answer["count"], 10_000);
}
