//! `POST /_matrix/client/v3/account/deactivate`

use serde_json::{Value, json};

use super::{another_session, challenge, log_in, password_stage};
use crate::support::{TestServer, TestUser, encode};

const DEACTIVATE: &str = "/_matrix/client/v3/account/deactivate";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn deactivate(user: &TestUser) -> Value {
    close(user, true).await
}

async fn close(user: &TestUser, erase: bool) -> Value {
    let asked = challenge(&user.post(DEACTIVATE).json(&json!({})).send().await);
    let stage = password_stage(&user.id, TestUser::PASSWORD, &asked["session"]);
    let body = json!({ "auth": stage, "erase": erase });
    user.post(DEACTIVATE).json(&body).send().await.ok()
}

#[tokio::test]
async fn closes_every_door_of_the_account() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": TestUser::PASSWORD,
        "refresh_token": true,
    });
    let request = server.post("/_matrix/client/v3/login").json(&body);
    let refreshable = request.send().await.ok();
    let laptop = another_session(&server, &phone).await;
    laptop.get(WHOAMI).send().await.ok();
    let answer = deactivate(&phone).await;
    assert_eq!(answer["id_server_unbind_result"], "success");
    for session in [&phone, &laptop] {
        let answer = session.get(WHOAMI).send().await;
        answer.error(403, "M_USER_DEACTIVATED");
    }
    let body = json!({ "refresh_token": refreshable["refresh_token"] });
    let request = server.post("/_matrix/client/v3/refresh").json(&body);
    request.send().await.error(403, "M_USER_DEACTIVATED");
    for password in [TestUser::PASSWORD, "wrong"] {
        let answer = log_in(&server, "alice", password).await;
        answer.error(403, "M_USER_DEACTIVATED");
    }
    let profile = format!("/_matrix/client/v3/profile/{}", encode(&phone.id));
    server.get(&profile).send().await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn never_gives_the_name_out_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    deactivate(&alice).await;
    let body = json!({
        "username": "alice",
        "password": "secret",
        "auth": { "type": "m.login.dummy" },
    });
    let request = server.post("/_matrix/client/v3/register").json(&body);
    request.send().await.error(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn takes_the_user_out_of_their_rooms() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = bob.create_room(json!({ "preset": "public_chat" })).await;
    alice.join(&room).await;
    let since = bob.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    deactivate(&alice).await;
    // The long poll ends when Alice has left.
    let sync = bob
        .get("/_matrix/client/v3/sync")
        .query("timeout", "30000")
        .query("since", &since)
        .send()
        .await
        .ok();
    let events = &sync["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(events[0]["state_key"], alice.id.as_str(), "{sync}");
    assert_eq!(events[0]["content"]["membership"], "leave");
}

#[tokio::test]
async fn needs_proof() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let answer = server.post(DEACTIVATE).json(&json!({})).send().await;
    answer.error(401, "M_MISSING_TOKEN");
    challenge(&alice.post(DEACTIVATE).json(&json!({})).send().await);
    let stage = password_stage("alice", "wrong", &json!(null));
    let body = json!({ "auth": stage });
    let refused = challenge(&alice.post(DEACTIVATE).json(&body).send().await);
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
    alice.get(WHOAMI).send().await.ok();
}

/// What this user reads of a room, by each way to read it.
async fn readings(user: &TestUser, room: &str, event: &str) -> Vec<Value> {
    let room_path = |rest: &str| format!("/_matrix/client/v3/rooms/{}/{rest}", encode(room));
    let event = encode(event);
    let get = async |path: String| user.get(&path).send().await.ok();
    let sync = user.sync(None).await;
    vec![
        get(room_path("messages?dir=b&limit=50")).await["chunk"].clone(),
        get(room_path(&format!("event/{event}"))).await,
        get(room_path(&format!("context/{event}"))).await,
        sync["rooms"]["join"][room]["timeline"].clone(),
    ]
}

#[tokio::test]
async fn what_an_erased_user_said_is_for_those_who_were_there() {
    for (erase, is_gone) in [(true, true), (false, false)] {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let carol = server.register("carol").await;
        let room = bob.create_room(json!({ "preset": "public_chat" })).await;
        alice.join(&room).await;
        let said = alice.say(&room, "a secret").await;
        close(&alice, erase).await;
        carol.join(&room).await;
        let here = carol.say(&room, "hello").await;
        for reading in readings(&bob, &room, &said).await {
            assert!(reading.to_string().contains("a secret"), "{reading}");
        }
        for reading in readings(&carol, &room, &said).await {
            let reading = reading.to_string();
            assert!(reading.contains(&said), "{reading}");
            assert_eq!(!reading.contains("a secret"), is_gone, "{reading}");
        }
        // Others' words stay.
        for reading in readings(&bob, &room, &here).await {
            assert!(reading.to_string().contains("hello"), "{reading}");
        }
    }
}
