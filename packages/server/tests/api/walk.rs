//! Two people talk to each other.

use serde_json::{Value, json};

use crate::support::{TestServer, TestUser, encode};

/// The bodies of the messages in a sync answer.
fn messages(sync: &Value, room: &str) -> Vec<String> {
    sync["rooms"]["join"][room]["timeline"]["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["type"] == "m.room.message")
        .map(|event| event["content"]["body"].as_str().unwrap().to_owned())
        .collect()
}

fn token(sync: &Value) -> String {
    sync["next_batch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_people_meet_talk_and_part() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room(json!({ "name": "Lobby" })).await;
    let before = token(&bob.sync(None).await);
    alice.invite(&room, &bob.id).await;
    let sync = bob.sync(Some(&before)).await;
    assert!(sync["rooms"]["invite"][&room].is_object(), "{sync}");
    bob.join(&room).await;
    alice.say(&room, "hello").await;
    let sync = bob.sync(Some(&token(&sync))).await;
    assert_eq!(messages(&sync, &room), ["hello"]);
    bob.say(&room, "hi").await;
    let event_id = bob.say(&room, "bye").await;
    assert_eq!(
        messages(&alice.sync(None).await, &room),
        ["hello", "hi", "bye"]
    );

    let path = format!("/_matrix/client/v3/rooms/{}", encode(&room));
    let redact = format!("{path}/redact/{}/1", encode(event_id));
    bob.put(&redact).json(&json!({})).send().await.ok();
    bob.post(&format!("{path}/leave")).send().await.ok();
    let sync = bob.sync(Some(&token(&sync))).await;
    assert!(sync["rooms"]["leave"][&room].is_object(), "{sync}");
}

#[tokio::test]
async fn the_first_administrator_registers_with_the_token_of_the_first_start() {
    let server = TestServer::configure()
        .set("registration.enabled", "false")
        .start()
        .await;
    let token = server.first_admin_token.clone().unwrap();
    let register = async |token: &str| {
        let body = json!({
            "username": "root",
            "password": TestUser::PASSWORD,
            "auth": { "type": "m.login.registration_token", "token": token },
        });
        server
            .post("/_matrix/client/v3/register")
            .json(&body)
            .send()
            .await
    };
    assert_ne!(register("guess").await.status, 200);
    let first = register(&token).await;
    let session = match first.status.as_u16() {
        // The stage may need a session.
        401 => first.json()["session"].clone(),
        _ => Value::Null,
    };
    if !session.is_null() {
        let body = json!({
            "username": "root",
            "password": TestUser::PASSWORD,
            "auth": {
                "type": "m.login.registration_token",
                "token": token,
                "session": session,
            },
        });
        let answer = server
            .post("/_matrix/client/v3/register")
            .json(&body)
            .send()
            .await;
        assert_eq!(answer.ok()["user_id"], "@root:test.example");
    }
}
