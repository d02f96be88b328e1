//! `/_matrix/client/v3/room_keys/version[/{version}]`

use std::time::Duration;

use matryx_entity::backed_up_key::BackedUpKey;
use matryx_server::key_backup::KeyBackupError;
use matryx_surrealdb::KeyRange;
use ruma::UserId;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ALGORITHM, VERSION, backed_up, create, keys_path, method, version_path};
use crate::support::{Launch, TestServer};

/// Longer than anything here takes; a bound for tests that fail.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn shows_what_was_made() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.get(VERSION).send().await.error(404, "M_NOT_FOUND");
    let version = create(&alice).await;
    let expected = json!({
        "algorithm": ALGORITHM,
        "auth_data": { "public_key": "abc", "signatures": {} },
        "count": 0,
        "etag": "0",
        "version": version,
    });
    assert_eq!(alice.get(VERSION).send().await.ok(), expected);
    let path = version_path(&version);
    assert_eq!(alice.get(&path).send().await.ok(), expected);
    let unstable = "/_matrix/client/unstable/room_keys/version";
    assert_eq!(alice.get(unstable).send().await.ok(), expected);
}

#[tokio::test]
async fn the_newest_version_is_the_current_one() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (first, second) = (create(&alice).await, create(&alice).await);
    assert_ne!(first, second);
    assert_eq!(alice.get(VERSION).send().await.ok()["version"], second);
    let answer = alice.get(&version_path(&first)).send().await;
    assert_eq!(answer.ok()["version"], first);
    alice.delete(&version_path(&second)).send().await.ok();
    assert_eq!(alice.get(VERSION).send().await.ok()["version"], first);
}

#[tokio::test]
async fn never_gives_out_a_number_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let version = create(&alice).await;
        assert!(!numbers.contains(&version), "{version} was there already");
        alice.delete(&version_path(&version)).send().await.ok();
        numbers.push(version);
    }
    let kept = create(&alice).await;
    let deleted = create(&alice).await;
    alice.delete(&version_path(&deleted)).send().await.ok();
    let next = create(&alice).await;
    assert!(![&kept, &deleted].contains(&&next) && !numbers.contains(&next));
    for version in numbers.iter().chain([&deleted]) {
        let answer = alice.get(&version_path(version)).send().await;
        answer.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_deleted_version_is_gone_and_can_be_deleted_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let path = version_path(&version);
    let key = keys_path(&version, &["!room:test.example", "session"]);
    let answer = alice.put(&key).json(&backed_up(true, 0, 0)).send().await;
    answer.ok();
    assert_eq!(alice.delete(&path).send().await.ok(), json!({}));
    assert_eq!(alice.delete(&path).send().await.ok(), json!({}));
    for path in [VERSION, &path, &key] {
        alice.get(path).send().await.error(404, "M_NOT_FOUND");
    }
    let answer = alice.put(&path).json(&method("def")).send().await;
    answer.error(404, "M_NOT_FOUND");
    let answer = alice.put(&key).json(&backed_up(true, 0, 0)).send().await;
    answer.error(404, "M_NOT_FOUND");
    alice.delete(&key).send().await.error(404, "M_NOT_FOUND");
    create(&alice).await;
    assert_eq!(alice.delete(&path).send().await.ok(), json!({}));
}

#[tokio::test]
async fn replaces_auth_data_and_nothing_else() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let path = version_path(&version);
    alice.put(&path).json(&method("def")).send().await.ok();
    let mut with_number = method("ghi");
    with_number["version"] = json!(version);
    alice.put(&path).json(&with_number).send().await.ok();
    let shown = alice.get(VERSION).send().await.ok();
    assert_eq!(shown["auth_data"]["public_key"], "ghi");
    assert_eq!(
        (&shown["etag"], &shown["version"]),
        (&json!("0"), &json!(version))
    );

    let mut other_algorithm = method("jkl");
    other_algorithm["algorithm"] = json!("org.example.other");
    let mut other_number = method("jkl");
    other_number["version"] = json!("77");
    for body in [other_algorithm, other_number] {
        let answer = alice.put(&path).json(&body).send().await;
        answer.error(400, "M_INVALID_PARAM");
    }
    assert_eq!(alice.get(VERSION).send().await.ok(), shown);
}

#[tokio::test]
async fn knows_numbers_in_one_spelling_only() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    assert_eq!(create(&alice).await, "1");
    for unknown in ["2", "0", "-1", "01", "+1", "one", "99999999999999999999"] {
        let path = version_path(unknown);
        alice.get(&path).send().await.error(404, "M_NOT_FOUND");
        alice.delete(&path).send().await.error(404, "M_NOT_FOUND");
        let answer = alice.put(&path).json(&method("abc")).send().await;
        answer.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn belongs_to_its_user() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let path = version_path(&create(&alice).await);
    bob.get(VERSION).send().await.error(404, "M_NOT_FOUND");
    bob.get(&path).send().await.error(404, "M_NOT_FOUND");
    bob.delete(&path).send().await.error(404, "M_NOT_FOUND");
    server.get(&path).send().await.error(401, "M_MISSING_TOKEN");
    alice.get(&path).send().await.ok();
}

#[tokio::test]
async fn refuses_what_is_no_backup_and_what_is_too_large() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let sized = |bytes: usize| {
        let auth_data = json!({ "k": "x".repeat(bytes - r#"{"k":""}"#.len()) });
        json!({ "algorithm": ALGORITHM, "auth_data": auth_data })
    };
    for (body, status, errcode) in [
        (json!({ "algorithm": ALGORITHM }), 400, "M_BAD_JSON"),
        (json!({ "auth_data": {} }), 400, "M_BAD_JSON"),
        (
            json!({ "algorithm": 1, "auth_data": {} }),
            400,
            "M_BAD_JSON",
        ),
        (
            json!({ "algorithm": "a", "auth_data": [] }),
            400,
            "M_BAD_JSON",
        ),
        (
            json!({ "algorithm": "a".repeat(256), "auth_data": {} }),
            400,
            "M_INVALID_PARAM",
        ),
        (sized(65_537), 413, "M_TOO_LARGE"),
    ] {
        let answer = alice.post(VERSION).json(&body).send().await;
        answer.error(status, errcode);
    }
    let answer = alice.post(VERSION).bytes("{").send().await;
    answer.error(400, "M_NOT_JSON");
    alice.get(VERSION).send().await.error(404, "M_NOT_FOUND");
    alice.post(VERSION).json(&sized(65_536)).send().await.ok();
}

#[tokio::test]
async fn keeps_a_hundred_versions_and_no_more() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for _ in 0..100 {
        create(&alice).await;
    }
    let answer = alice.post(VERSION).json(&method("abc")).send().await;
    answer.error(413, "M_TOO_LARGE");
    alice.delete(&version_path("50")).send().await.ok();
    assert_eq!(create(&alice).await, "101");
}

#[tokio::test]
async fn outlives_the_process() {
    let folder = TempDir::new().unwrap();
    let launch = Launch::new(folder.path());
    let process = launch.start().await;
    let token = process.site.register("alice").await;
    let site = process.site.clone();
    let create = site.post(VERSION).bearer_auth(&token).json(&method("abc"));
    assert_eq!(create.send().await.unwrap().status(), 200);
    let path = keys_path("1", &["!room:test.example", "session"]);
    let upload = site.put(&path).bearer_auth(&token);
    let upload = upload.json(&backed_up(true, 0, 0)).send().await.unwrap();
    assert_eq!(upload.status(), 200);
    process.kill().await;
    let process = launch.start().await;
    let site = process.site.clone();
    let get = async |path: &str| {
        let answer = site.get(path).bearer_auth(&token).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    assert_eq!(get(&path).await, backed_up(true, 0, 0));
    let shown = get(VERSION).await;
    assert_eq!((&shown["count"], &shown["etag"]), (&json!(1), &json!("1")));
}

#[tokio::test]
async fn goes_with_the_account() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let key = keys_path(&version, &["!room:test.example", "session"]);
    let answer = alice.put(&key).json(&backed_up(true, 0, 0)).send().await;
    answer.ok();
    let user_id = UserId::parse(&alice.id).unwrap();
    server.app.users.deactivate(&user_id, false).await.unwrap();
    // It goes after the answer, keys and all.
    let gone = async {
        let store = &server.app.store;
        while let [_, ..] = store.range::<BackedUpKey>(KeyRange::all()).await.unwrap()[..] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let left = server.app.key_backups.current(&user_id).await;
    assert!(matches!(left, Err(KeyBackupError::NotFound(_))), "{left:?}");
}
