//! `GET /rooms/{roomId}/state`, `GET /rooms/{roomId}/state/{eventType}/{stateKey}`

use serde_json::json;

use super::{room_path, say_many};
use crate::support::TestServer;

#[tokio::test]
async fn gives_the_whole_state() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({ "name": "n" })).await;
    let state = alice.get(&room_path(&room, "state")).send().await.ok();
    let state = state.as_array().unwrap();
    assert!(state.iter().all(|event| event["room_id"] == room));
    for kind in [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.name",
    ] {
        let found = state.iter().filter(|event| event["type"] == kind);
        assert_eq!(found.count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn gives_one_slot_as_content_or_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({ "name": "n" })).await;
    for path in ["state/m.room.name", "state/m.room.name/"] {
        let content = alice.get(&room_path(&room, path)).send().await.ok();
        assert_eq!(content, json!({ "name": "n" }), "{path}");
    }
    let path = room_path(&room, "state/m.room.name");
    let event = alice.get(&path).query("format", "event").send().await.ok();
    assert_eq!(event["content"], json!({ "name": "n" }));
    assert_eq!(event["type"], "m.room.name");
    assert_eq!(event["room_id"], room);

    let path = room_path(&room, "state/org.example.k/a%2Fb%20%00c");
    alice.put(&path).json(&json!({ "x": 1 })).send().await.ok();
    assert_eq!(alice.get(&path).send().await.ok(), json!({ "x": 1 }));
}

#[tokio::test]
async fn an_empty_slot_is_not_found() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    for path in [
        "state/m.room.topic",
        "state/org.example.k/x",
        "state/m.room.create/x",
    ] {
        let path = room_path(&room, path);
        alice.get(&path).send().await.error(404, "M_NOT_FOUND");
        bob.get(&path).send().await.error(403, "M_FORBIDDEN");
    }
    let nowhere = room_path("!nowhere:test.example", "state");
    alice.get(&nowhere).send().await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn somebody_who_left_sees_the_state_of_then() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice
        .create_room(json!({ "preset": "public_chat", "name": "then" }))
        .await;
    bob.join(&room).await;
    bob.post(&room_path(&room, "leave"))
        .json(&json!({}))
        .send()
        .await
        .ok();
    let rename = json!({ "name": "now" });
    alice
        .put(&room_path(&room, "state/m.room.name"))
        .json(&rename)
        .send()
        .await
        .ok();
    say_many(&alice, &room, 80).await;

    let path = room_path(&room, "state/m.room.name");
    assert_eq!(bob.get(&path).send().await.ok(), json!({ "name": "then" }));
    assert_eq!(alice.get(&path).send().await.ok(), rename);
    let state = bob.get(&room_path(&room, "state")).send().await.ok();
    let names = state
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["type"] == "m.room.name");
    let names: Vec<_> = names.map(|event| &event["content"]["name"]).collect();
    assert_eq!(names, ["then"]);
}

#[tokio::test]
async fn anybody_reads_the_state_of_a_world_readable_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let world = json!({
        "initial_state": [{
            "type": "m.room.history_visibility",
            "content": { "history_visibility": "world_readable" },
        }],
    });
    let room = alice.create_room(world).await;
    alice.say(&room, "public").await;
    for endpoint in ["state", "members", "state/m.room.create", "messages?dir=b"] {
        bob.get(&room_path(&room, endpoint)).send().await.ok();
    }
    let joined = bob.get(&room_path(&room, "joined_members")).send().await;
    joined.error(403, "M_FORBIDDEN");
}
