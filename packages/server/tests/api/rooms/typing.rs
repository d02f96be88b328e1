//! `PUT /rooms/{roomId}/typing/{userId}`

use std::time::Duration;

use serde_json::{Value, json};

use super::room_path;
use crate::support::{TestServer, TestUser, encode};

fn typing_in(sync: &Value, room: &str) -> Option<Value> {
    let events = sync["rooms"]["join"][room]["ephemeral"]["events"].as_array()?;
    let typing = events.iter().find(|event| event["type"] == "m.typing")?;
    Some(typing["content"]["user_ids"].clone())
}

#[tokio::test]
async fn shows_who_types_and_who_stopped() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let path = room_path(&room, &format!("typing/{}", encode(&bob.id)));
    let body = json!({ "typing": true, "timeout": 30_000 });
    assert_eq!(bob.put(&path).json(&body).send().await.ok(), json!({}));
    let sync = alice.sync(None).await;
    assert_eq!(typing_in(&sync, &room), Some(json!([bob.id])));

    bob.put(&path)
        .json(&json!({ "typing": false }))
        .send()
        .await
        .ok();
    let since = sync["next_batch"].as_str().unwrap();
    let sync = alice.sync(Some(since)).await;
    assert_eq!(typing_in(&sync, &room), Some(json!([])));
}

#[tokio::test]
async fn typing_is_bounded_in_time() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let types = async |user: &TestUser| {
        let path = room_path(&room, &format!("typing/{}", encode(&user.id)));
        let body = json!({ "typing": true, "timeout": 9_007_199_254_740_991_u64 });
        user.put(&path).json(&body).send().await.ok();
    };
    types(&alice).await;
    server.clock.advance(Duration::from_secs(121));
    // Makes the engine look at its deadlines again: nobody told it that time has jumped.
    types(&bob).await;
    let mut sync = alice.sync(None).await;
    while typing_in(&sync, &room) != Some(json!([bob.id])) {
        let since = sync["next_batch"].as_str().unwrap();
        let poll = alice.get("/_matrix/client/v3/sync").query("since", since);
        let next = poll.query("timeout", "10000").send().await.ok();
        assert_ne!(next["next_batch"], sync["next_batch"], "typing has ended");
        sync = next;
    }
}

#[tokio::test]
async fn one_types_only_for_oneself_and_only_in_ones_rooms() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    let body = json!({ "typing": true, "timeout": 1_000 });
    let path = |user: &str| room_path(&room, &format!("typing/{}", encode(user)));
    let other = alice.put(&path(&bob.id)).json(&body).send().await;
    other.error(403, "M_FORBIDDEN");
    let outside = bob.put(&path(&bob.id)).json(&body).send().await;
    outside.error(403, "M_FORBIDDEN");
    let ask = |body: Value| alice.put(&path(&alice.id)).json(&body);
    ask(json!({ "typing": "yes" }))
        .send()
        .await
        .error(400, "M_BAD_JSON");
    ask(json!({ "typing": true, "timeout": "x" }))
        .send()
        .await
        .error(400, "M_BAD_JSON");
    ask(json!([])).send().await.error(400, "M_BAD_JSON");
    ask(json!({})).send().await.error(400, "M_MISSING_PARAM");
    ask(json!({ "typing": true })).send().await.ok();
}
