//! `/_matrix/client/v3/profile/{userId}[/{keyName}]`

use ruma::UserId;
use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser, encode};

fn path(user: &str, key: &str) -> String {
    let user = encode(user);
    if key.is_empty() {
        format!("/_matrix/client/v3/profile/{user}")
    } else {
        format!("/_matrix/client/v3/profile/{user}/{}", encode(key))
    }
}

async fn set(user: &TestUser, key: &str, value: Value) -> Answer {
    let body = json!({ key: value });
    user.put(&path(&user.id, key)).json(&body).send().await
}

async fn get(server: &TestServer, user: &TestUser, key: &str) -> Answer {
    server.get(&path(&user.id, key)).send().await
}

#[tokio::test]
async fn shows_a_new_user_under_their_name() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let profile = get(&server, &alice, "").await.ok();
    assert_eq!(profile, json!({ "displayname": "alice" }));
    assert_eq!(get(&server, &alice, "avatar_url").await.ok(), json!({}));
}

#[tokio::test]
async fn sets_and_removes_fields() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    set(&alice, "displayname", json!("Alice")).await.ok();
    set(&alice, "avatar_url", json!("mxc://test.example/cat"))
        .await
        .ok();
    set(&alice, "m.tz", json!("Europe/Berlin")).await.ok();
    set(&alice, "org.example.pets", json!(["cat", { "dogs": 2 }]))
        .await
        .ok();
    assert_eq!(
        get(&server, &alice, "").await.ok(),
        json!({
            "displayname": "Alice",
            "avatar_url": "mxc://test.example/cat",
            "m.tz": "Europe/Berlin",
            "org.example.pets": ["cat", { "dogs": 2 }],
        })
    );
    let pets = get(&server, &alice, "org.example.pets").await.ok();
    assert_eq!(pets, json!({ "org.example.pets": ["cat", { "dogs": 2 }] }));
    let request = alice.delete(&path(&alice.id, "m.tz"));
    request.send().await.ok();
    let answer = get(&server, &alice, "m.tz").await;
    answer.error(404, "M_NOT_FOUND");
    set(&alice, "displayname", json!("")).await.ok();
    assert_eq!(get(&server, &alice, "displayname").await.ok(), json!({}));
}

#[tokio::test]
async fn belongs_to_its_user() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let body = json!({ "displayname": "Fool" });
    let answer = bob
        .put(&path(&alice.id, "displayname"))
        .json(&body)
        .send()
        .await;
    answer.error(403, "M_FORBIDDEN");
    let answer = bob.delete(&path(&alice.id, "displayname")).send().await;
    answer.error(403, "M_FORBIDDEN");
    let answer = server
        .put(&path(&alice.id, "displayname"))
        .json(&body)
        .send()
        .await;
    answer.error(401, "M_MISSING_TOKEN");
    let answer = server.get(&path("@nobody:test.example", "")).send().await;
    answer.error(404, "M_NOT_FOUND");
    let answer = server.get(&path("nobody", "")).send().await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn is_bounded() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let key = "k".repeat(256);
    set(&alice, &key, json!(1))
        .await
        .error(400, "M_KEY_TOO_LARGE");
    let large = json!("x".repeat(65_536));
    set(&alice, "org.example.large", large)
        .await
        .error(400, "M_PROFILE_TOO_LARGE");
    set(&alice, "Not A Name", json!(1))
        .await
        .error(400, "M_INVALID_PARAM");
    set(&alice, "displayname", json!("x".repeat(257)))
        .await
        .error(400, "M_INVALID_PARAM");
    set(&alice, "displayname", json!(1))
        .await
        .error(400, "M_BAD_JSON");
    let answer = alice
        .put(&path(&alice.id, "displayname"))
        .json(&json!({}))
        .send()
        .await;
    assert_eq!(answer.status, 400, "{:?}", answer.bytes);
    let profile = get(&server, &alice, "").await.ok();
    assert_eq!(profile, json!({ "displayname": "alice" }));
}

#[tokio::test]
async fn stays_as_it_is_while_the_account_is_suspended() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let user = UserId::parse(&alice.id).unwrap();
    server.app.users.set_suspended(&user, true).await.unwrap();
    set(&alice, "displayname", json!("Alice"))
        .await
        .error(403, "M_USER_SUSPENDED");
    server.app.users.set_suspended(&user, false).await.unwrap();
    set(&alice, "displayname", json!("Alice")).await.ok();
}

#[tokio::test]
async fn is_carried_into_every_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let body = json!({ "preset": "public_chat" });
    let rooms = [
        bob.create_room(body.clone()).await,
        bob.create_room(body.clone()).await,
    ];
    for room in &rooms {
        alice.join(room).await;
    }
    let mut since = bob.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    set(&alice, "displayname", json!("Alice in Wonderland"))
        .await
        .ok();
    let mut seen = Vec::new();
    while seen.len() < rooms.len() {
        let sync = bob
            .get("/_matrix/client/v3/sync")
            .query("timeout", "30000")
            .query("since", &since)
            .send()
            .await
            .ok();
        since = sync["next_batch"].as_str().unwrap().to_owned();
        for room in &rooms {
            let events = &sync["rooms"]["join"][room]["timeline"]["events"];
            for event in events.as_array().into_iter().flatten() {
                assert_eq!(event["type"], "m.room.member");
                assert_eq!(event["content"]["displayname"], "Alice in Wonderland");
                seen.push(room.clone());
            }
        }
    }
}
