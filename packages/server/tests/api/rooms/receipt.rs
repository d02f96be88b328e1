//! `POST /rooms/{roomId}/receipt/{receiptType}/{eventId}`, `POST /rooms/{roomId}/read_markers`

use serde_json::{Value, json};

use super::room_path;
use crate::support::{Answer, TestServer, TestUser, encode};

async fn mark(user: &TestUser, room: &str, kind: &str, event: &str, body: Value) -> Answer {
    let path = room_path(room, &format!("receipt/{kind}/{}", encode(event)));
    user.post(&path).json(&body).send().await
}

fn receipts(sync: &Value, room: &str) -> Value {
    let events = sync["rooms"]["join"][room]["ephemeral"]["events"].as_array();
    let receipts = events.and_then(|events| {
        let mut events = events.iter();
        events.find(|event| event["type"] == "m.receipt")
    });
    receipts.map_or(Value::Null, |event| event["content"].clone())
}

fn fully_read(sync: &Value, room: &str) -> Value {
    let events = sync["rooms"]["join"][room]["account_data"]["events"].as_array();
    let marker = events.and_then(|events| {
        let mut events = events.iter();
        events.find(|event| event["type"] == "m.fully_read")
    });
    marker.map_or(Value::Null, |event| event["content"]["event_id"].clone())
}

async fn pair() -> (TestServer, TestUser, TestUser, String) {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    (server, alice, bob, room)
}

#[tokio::test]
async fn a_public_receipt_is_seen_by_all_and_a_private_one_by_its_owner() {
    let (_server, alice, bob, room) = pair().await;
    let event = alice.say(&room, "x").await;
    mark(&bob, &room, "m.read", &event, json!({})).await.ok();
    mark(&bob, &room, "m.read.private", &event, json!({}))
        .await
        .ok();
    let seen = receipts(&alice.sync(None).await, &room);
    assert!(seen[&event]["m.read"][&bob.id]["ts"].is_u64(), "{seen}");
    assert_eq!(seen[&event].get("m.read.private"), None);
    let own = receipts(&bob.sync(None).await, &room);
    assert!(
        own[&event]["m.read.private"][&bob.id]["ts"].is_u64(),
        "{own}"
    );
}

#[tokio::test]
async fn a_receipt_only_moves_forward() {
    let (_server, alice, bob, room) = pair().await;
    let (first, second) = (alice.say(&room, "1").await, alice.say(&room, "2").await);
    mark(&bob, &room, "m.read", &second, json!({})).await.ok();
    mark(&bob, &room, "m.read", &first, json!({})).await.ok();
    let seen = receipts(&alice.sync(None).await, &room);
    assert_eq!(seen.get(&first), None);
    assert!(seen[&second]["m.read"][&bob.id].is_object());
}

#[tokio::test]
async fn receipts_at_the_same_time_end_at_the_newest() {
    let (_server, alice, bob, room) = pair().await;
    let mut events = Vec::new();
    for nth in 0..12 {
        events.push(alice.say(&room, &nth.to_string()).await);
    }
    let marks = events
        .iter()
        .rev()
        .map(|event| mark(&bob, &room, "m.read", event, json!({})));
    for answer in futures_util::future::join_all(marks).await {
        answer.ok();
    }
    let seen = receipts(&alice.sync(None).await, &room);
    assert_eq!(
        seen.as_object().unwrap().keys().collect::<Vec<_>>(),
        [&events[11]]
    );
}

#[tokio::test]
async fn threads_have_receipts_of_their_own() {
    let (_server, alice, bob, room) = pair().await;
    let opening = alice.say(&room, "root").await;
    let reply = json!({
        "msgtype": "m.text",
        "body": "reply",
        "m.relates_to": { "rel_type": "m.thread", "event_id": opening },
    });
    let reply = alice.send_event(&room, "m.room.message", reply).await;
    let annotation = json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": reply, "key": "k" },
    });
    let reaction = alice.send_event(&room, "m.reaction", annotation).await;

    let in_thread = json!({ "thread_id": opening });
    for event in [&opening, &reply, &reaction] {
        mark(&bob, &room, "m.read", event, in_thread.clone())
            .await
            .ok();
    }
    mark(
        &bob,
        &room,
        "m.read",
        &opening,
        json!({ "thread_id": "main" }),
    )
    .await
    .ok();
    let seen = receipts(&alice.sync(None).await, &room);
    assert_eq!(
        seen[&reaction]["m.read"][&bob.id]["thread_id"], opening,
        "{seen}"
    );
    assert_eq!(
        seen[&opening]["m.read"][&bob.id]["thread_id"], "main",
        "{seen}"
    );

    let invalid = [
        (&reply, json!({ "thread_id": "main" })),
        (&reaction, json!({ "thread_id": "main" })),
        (&opening, json!({ "thread_id": reply })),
        (&opening, json!({ "thread_id": "" })),
        (&opening, json!({ "thread_id": "other" })),
    ];
    for (event, body) in invalid {
        let answer = mark(&bob, &room, "m.read", event, body).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let answer = mark(&bob, &room, "m.read", &opening, json!({ "thread_id": 5 })).await;
    answer.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn receipts_for_unknown_events_are_ignored_and_for_unknown_rooms_refused() {
    let (server, alice, bob, room) = pair().await;
    mark(&bob, &room, "m.read", "$nothing", json!({}))
        .await
        .ok();
    assert_eq!(receipts(&bob.sync(None).await, &room), Value::Null);
    let other = alice.create_room(json!({})).await;
    let event = alice.say(&other, "x").await;
    mark(&bob, &room, "m.read", &event, json!({})).await.ok();
    assert_eq!(
        receipts(&bob.sync(None).await, &room),
        Value::Null,
        "another room's event"
    );
    let outside = mark(&bob, &other, "m.read", &event, json!({})).await;
    outside.error(403, "M_FORBIDDEN");
    let kind = mark(&alice, &other, "m.write", &event, json!({})).await;
    kind.error(400, "M_INVALID_PARAM");
    let path = room_path(&room, &format!("receipt/m.read/{}", encode(&event)));
    server
        .post(&path)
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
    let empty = bob.post(&path).send().await;
    empty.ok();
}

#[tokio::test]
async fn the_fully_read_marker_is_account_data_that_moves_forward() {
    let (_server, alice, bob, room) = pair().await;
    let (first, second) = (alice.say(&room, "1").await, alice.say(&room, "2").await);
    let path = room_path(&room, "read_markers");
    let body = json!({ "m.fully_read": second, "m.read": first, "m.read.private": second });
    bob.post(&path).json(&body).send().await.ok();
    let sync = bob.sync(None).await;
    assert_eq!(fully_read(&sync, &room), second);
    let own = receipts(&sync, &room);
    assert!(own[&first]["m.read"][&bob.id].is_object());
    assert!(own[&second]["m.read.private"][&bob.id].is_object());

    bob.post(&path)
        .json(&json!({ "m.fully_read": first }))
        .send()
        .await
        .ok();
    mark(&bob, &room, "m.fully_read", &first, json!({}))
        .await
        .ok();
    assert_eq!(fully_read(&bob.sync(None).await, &room), second);
    let third = alice.say(&room, "3").await;
    mark(&bob, &room, "m.fully_read", &third, json!({}))
        .await
        .ok();
    assert_eq!(fully_read(&bob.sync(None).await, &room), third);
    assert_eq!(fully_read(&alice.sync(None).await, &room), Value::Null);

    let threaded = mark(
        &bob,
        &room,
        "m.fully_read",
        &third,
        json!({ "thread_id": "main" }),
    )
    .await;
    threaded.error(400, "M_INVALID_PARAM");
    bob.post(&path).json(&json!({})).send().await.ok();
    let malformed = bob.post(&path).json(&json!({ "m.read": 5 })).send().await;
    malformed.error(400, "M_BAD_JSON");
}
