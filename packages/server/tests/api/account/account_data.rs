//! `/_matrix/client/v3/user/{userId}[/rooms/{roomId}]/account_data/{type}`

use serde_json::{Value, json};

use super::another_session;
use crate::support::{TestServer, TestUser, encode};

fn global(user: &str, kind: &str) -> String {
    let (user, kind) = (encode(user), encode(kind));
    format!("/_matrix/client/v3/user/{user}/account_data/{kind}")
}

fn in_room(user: &str, room: &str, kind: &str) -> String {
    let (user, room, kind) = (encode(user), encode(room), encode(kind));
    format!("/_matrix/client/v3/user/{user}/rooms/{room}/account_data/{kind}")
}

async fn set(user: &TestUser, path: &str, content: &Value) {
    user.put(path).json(content).send().await.ok();
}

#[tokio::test]
async fn keeps_what_a_client_puts_there() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = global(&alice.id, "org.example.settings");
    alice.get(&path).send().await.error(404, "M_NOT_FOUND");
    for content in [
        json!({ "theme": "dark" }),
        json!({ "nul": "\u{0}", "n": 1.5 }),
        json!({}),
    ] {
        set(&alice, &path, &content).await;
        assert_eq!(alice.get(&path).send().await.ok(), content);
    }
}

#[tokio::test]
async fn keeps_rooms_and_the_account_apart() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let kind = "org.example.color";
    let (everywhere, here) = (global(&alice.id, kind), in_room(&alice.id, &room, kind));
    set(&alice, &here, &json!({ "color": "red" })).await;
    alice
        .get(&everywhere)
        .send()
        .await
        .error(404, "M_NOT_FOUND");
    set(&alice, &everywhere, &json!({ "color": "blue" })).await;
    assert_eq!(
        alice.get(&here).send().await.ok(),
        json!({ "color": "red" })
    );
}

#[tokio::test]
async fn appears_in_the_next_sync_of_every_device() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let since = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    set(
        &alice,
        &global(&alice.id, "org.example.a"),
        &json!({ "a": 1 }),
    )
    .await;
    set(
        &alice,
        &in_room(&alice.id, &room, "org.example.b"),
        &json!({ "b": 2 }),
    )
    .await;
    for _ in 0..2 {
        let sync = alice.sync(Some(&since)).await;
        assert_eq!(
            sync["account_data"]["events"],
            json!([{ "type": "org.example.a", "content": { "a": 1 } }])
        );
        assert_eq!(
            sync["rooms"]["join"][&room]["account_data"]["events"],
            json!([{ "type": "org.example.b", "content": { "b": 2 } }])
        );
    }
}

#[tokio::test]
async fn belongs_to_its_user() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    for path in [
        global(&alice.id, "org.example.a"),
        in_room(&alice.id, "!room:test.example", "org.example.a"),
    ] {
        let answer = bob.put(&path).json(&json!({})).send().await;
        answer.error(403, "M_FORBIDDEN");
        bob.get(&path).send().await.error(403, "M_FORBIDDEN");
        server.get(&path).send().await.error(401, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn leaves_types_of_the_server_to_their_endpoints() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    for path in [
        global(&alice.id, "m.push_rules"),
        global(&alice.id, "m.fully_read"),
        in_room(&alice.id, &room, "m.push_rules"),
        in_room(&alice.id, &room, "m.fully_read"),
    ] {
        let answer = alice.put(&path).json(&json!({})).send().await;
        answer.error(405, "M_BAD_JSON");
    }
    let path = global(&alice.id, "m.push_rules");
    let rules = alice.get(&path).send().await.ok();
    assert!(rules["global"]["override"].is_array(), "{rules}");
}

#[tokio::test]
async fn refuses_what_is_no_content() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = global(&alice.id, "org.example.a");
    for (body, errcode) in [
        ("[]", "M_BAD_JSON"),
        ("1", "M_BAD_JSON"),
        ("{", "M_NOT_JSON"),
    ] {
        let answer = alice.put(&path).bytes(body).send().await;
        answer.error(400, errcode);
    }
    let path = global(&alice.id, &"x".repeat(256));
    let answer = alice.put(&path).json(&json!({})).send().await;
    answer.error(400, "M_INVALID_PARAM");
}

/// Secret storage is account data: what one device puts there another one reads, byte for byte.
#[tokio::test]
async fn keeps_secrets_for_the_next_device() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let key = "m.secret_storage.key.bSyJuSkzmZ5ndmBJEVYPgJlRwiY6h8gj";
    let encrypted = json!({ "encrypted": { "bSyJuSkzmZ5ndmBJEVYPgJlRwiY6h8gj": {
        "iv": "cL/0MJZaiEd3fNU+I9oJrw==",
        "ciphertext": "WL73Pzdk5wZdaaSpaeRH0uZYKcxkuV8IS6Qa2FEfA1+vMeRLuHcWlXbMX0w=",
        "mac": "+xozp909S6oDX8KRV8D8ZFVRyh7eEYQpPP76f+DOsnw=",
    }}});
    let kinds = [
        (
            "m.secret_storage.default_key",
            json!({ "key": "bSyJuSkzmZ5ndmBJEVYPgJlRwiY6h8gj" }),
        ),
        (
            key,
            json!({
                "algorithm": "m.secret_storage.v1.aes-hmac-sha2",
                "iv": "YWJjZGVmZ2hpamtsbW5vcA==",
                "mac": "aWRvbnRrbm93d2hhdGFtYWNsb29rc2xpa2U=",
            }),
        ),
        ("m.cross_signing.master", encrypted.clone()),
        ("m.cross_signing.self_signing", encrypted.clone()),
        ("m.cross_signing.user_signing", encrypted.clone()),
        ("m.megolm_backup.v1", encrypted),
    ];
    for (kind, content) in &kinds {
        set(&alice, &global(&alice.id, kind), content).await;
    }
    let next = another_session(&server, &alice).await;
    let sync = next.sync(None).await;
    for (kind, content) in kinds {
        let stored = next.get(&global(&alice.id, kind)).send().await.ok();
        assert_eq!(stored, content, "{kind}");
        let event = json!({ "type": kind, "content": content });
        let events = sync["account_data"]["events"].as_array().unwrap();
        assert!(events.contains(&event), "{kind} is not in {events:?}");
    }
}
