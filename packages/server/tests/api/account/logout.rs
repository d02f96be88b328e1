//! `POST /_matrix/client/v3/logout` and `…/logout/all`

use ruma::UserId;
use serde_json::json;

use super::another_session;
use crate::support::{TestServer, encode};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

#[tokio::test]
async fn ends_one_session_at_once() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    // Both are in the token cache.
    phone.get(WHOAMI).send().await.ok();
    laptop.get(WHOAMI).send().await.ok();
    phone.post("/_matrix/client/v3/logout").send().await.ok();
    let body = phone.get(WHOAMI).send().await.error(401, "M_UNKNOWN_TOKEN");
    assert_ne!(body["soft_logout"], true);
    laptop.get(WHOAMI).send().await.ok();
    let devices = laptop.get("/_matrix/client/v3/devices").send().await.ok();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn ends_all_sessions_at_once() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    laptop.get(WHOAMI).send().await.ok();
    let request = phone.post("/_matrix/client/v3/logout/all");
    request.send().await.ok();
    for session in [&phone, &laptop] {
        let answer = session.get(WHOAMI).send().await;
        answer.error(401, "M_UNKNOWN_TOKEN");
    }
    bob.get(WHOAMI).send().await.ok();
}

#[tokio::test]
async fn lets_a_locked_user_log_out() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let user = UserId::parse(&alice.id).unwrap();
    server.app.users.set_locked(&user, true).await.unwrap();
    let request = alice.post("/_matrix/client/v3/logout");
    request.send().await.ok();
    let answer = alice.get(WHOAMI).send().await;
    answer.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn lets_a_locked_user_do_nothing_that_is_only_called_logout() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let user = UserId::parse(&alice.id).unwrap();
    server.app.users.set_locked(&user, true).await.unwrap();
    let room = encode(&room);
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/logout");
    let request = alice.put(&path).json(&json!({ "body": "hi" }));
    request.send().await.error(401, "M_USER_LOCKED");
}

#[tokio::test]
async fn needs_a_token() {
    let server = TestServer::start().await;
    for path in ["/_matrix/client/v3/logout", "/_matrix/client/v3/logout/all"] {
        let answer = server.post(path).send().await;
        answer.error(401, "M_MISSING_TOKEN");
        let answer = server.post(path).token("x").send().await;
        answer.error(401, "M_UNKNOWN_TOKEN");
    }
}
