//! `GET /rooms/{roomId}/event/{eventId}`

use serde_json::json;

use super::room_path;
use crate::support::{TestServer, encode};

#[tokio::test]
async fn gives_an_event_to_who_may_see_it() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "hello").await;
    let path = room_path(&room, &format!("event/{}", encode(&event)));
    let body = alice.get(&path).send().await.ok();
    assert_eq!(body["event_id"], event);
    assert_eq!(body["room_id"], room);
    assert_eq!(body["content"]["body"], "hello");
    assert_eq!(body["sender"], alice.id);
    bob.get(&path).send().await.error(404, "M_NOT_FOUND");
    server.get(&path).send().await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn says_why_an_event_was_redacted() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "secret").await;
    let redact = room_path(&room, &format!("redact/{}/txn", encode(&event)));
    let redaction = alice
        .put(&redact)
        .json(&json!({ "reason": "r" }))
        .send()
        .await;
    let redaction = redaction.ok()["event_id"].clone();
    let path = room_path(&room, &format!("event/{}", encode(&event)));
    let body = alice.get(&path).send().await.ok();
    assert_eq!(body["content"], json!({}));
    assert_eq!(body["unsigned"]["redacted_because"]["event_id"], redaction);
}

#[tokio::test]
async fn knows_no_event_of_another_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (one, other) = (
        alice.create_room(json!({})).await,
        alice.create_room(json!({})).await,
    );
    let event = alice.say(&one, "x").await;
    for (room, event) in [
        (&*other, &*event),
        ("!nowhere:test.example", &event),
        (&one, "$nothing"),
    ] {
        let path = room_path(room, &format!("event/{}", encode(event)));
        alice.get(&path).send().await.error(404, "M_NOT_FOUND");
    }
}
