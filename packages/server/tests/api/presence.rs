//! `GET` and `PUT /presence/{userId}/status`

use serde_json::{Value, json};

use crate::support::{Launch, TestServer, TestUser, encode};

fn path(user: &str) -> String {
    format!("/_matrix/client/v3/presence/{}/status", encode(user))
}

async fn set(user: &TestUser, body: Value) {
    user.put(&path(&user.id)).json(&body).send().await.ok();
}

#[tokio::test]
async fn who_shares_a_room_sees_what_a_user_says() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let refused = bob.get(&path(&alice.id)).send().await;
    refused.error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    let offline = bob.get(&path(&alice.id)).send().await.ok();
    assert_eq!(offline["presence"], "offline");
    let first = bob.sync(None).await;
    set(
        &alice,
        json!({ "presence": "online", "status_msg": "here" }),
    )
    .await;
    let online = bob.get(&path(&alice.id)).send().await.ok();
    assert_eq!(online["presence"], "online");
    assert_eq!(online["status_msg"], "here");
    assert_eq!(online["currently_active"], true);
    assert!(online["last_active_ago"].is_number());
    let sync = bob.sync(first["next_batch"].as_str()).await;
    let event = &sync["presence"]["events"][0];
    assert_eq!(event["type"], "m.presence");
    assert_eq!(event["sender"], alice.id);
    assert_eq!(event["content"]["status_msg"], "here");
}

#[tokio::test]
async fn what_is_no_presence_is_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let online = json!({ "presence": "online" });
    let others = alice.put(&path(&bob.id)).json(&online).send().await;
    others.error(403, "M_FORBIDDEN");
    let put = |body: Value| {
        let request = alice.put(&path(&alice.id)).json(&body);
        async move { request.send().await }
    };
    put(json!({ "presence": "asleep" }))
        .await
        .error(400, "M_INVALID_PARAM");
    put(json!({ "presence": 5 })).await.error(400, "M_BAD_JSON");
    put(json!({})).await.error(400, "M_MISSING_PARAM");
    let long = "x".repeat(2049);
    put(json!({ "presence": "online", "status_msg": long }))
        .await
        .error(413, "M_TOO_LARGE");
    server
        .get(&path(&alice.id))
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn without_presence_nobody_is_seen() {
    let server = TestServer::configure().set("presence.enabled", "false");
    let server = server.start().await;
    let alice = server.register("alice").await;
    set(
        &alice,
        json!({ "presence": "online", "status_msg": "here" }),
    )
    .await;
    let sync = alice.sync(None).await;
    assert!(sync.get("presence").is_none());
    let status = alice.get(&path(&alice.id)).send().await.ok();
    assert_eq!(
        status,
        json!({ "presence": "offline", "currently_active": false })
    );
}

#[tokio::test]
async fn a_message_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let process = launch.start().await;
    let token = process.site.register("alice").await;
    let path = path("@alice:test.example");
    let body = json!({ "presence": "online", "status_msg": "still here" });
    let put = process.site.put(&path).bearer_auth(&token).json(&body);
    assert_eq!(put.send().await.unwrap().status(), 200);
    process.kill().await;
    let process = launch.start().await;
    let get = process.site.get(&path).bearer_auth(&token).send().await;
    let status: Value = get.unwrap().json().await.unwrap();
    assert_eq!(status["presence"], "offline");
    assert_eq!(status["status_msg"], "still here");
}
