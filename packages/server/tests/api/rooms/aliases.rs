//! `GET /rooms/{roomId}/aliases`

use serde_json::json;

use super::room_path;
use crate::support::{TestServer, encode};

#[tokio::test]
async fn lists_the_aliases_of_a_room_to_its_members() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "room_alias_name": "one" })).await;
    alice
        .create_room(json!({ "room_alias_name": "elsewhere" }))
        .await;
    let path = format!(
        "/_matrix/client/v3/directory/room/{}",
        encode("#two:test.example")
    );
    alice
        .put(&path)
        .json(&json!({ "room_id": room }))
        .send()
        .await
        .ok();

    let path = room_path(&room, "aliases");
    let body = alice.get(&path).send().await.ok();
    let mut aliases: Vec<_> = body["aliases"].as_array().unwrap().clone();
    aliases.sort_by_key(ToString::to_string);
    assert_eq!(aliases, ["#one:test.example", "#two:test.example"]);
    bob.get(&path).send().await.error(403, "M_FORBIDDEN");
    server.get(&path).send().await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn lists_the_aliases_of_a_world_readable_room_to_anybody() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = json!({
        "room_alias_name": "world",
        "initial_state": [{
            "type": "m.room.history_visibility",
            "content": { "history_visibility": "world_readable" },
        }],
    });
    let room = alice.create_room(room).await;
    let body = bob.get(&room_path(&room, "aliases")).send().await.ok();
    assert_eq!(body, json!({ "aliases": ["#world:test.example"] }));
}
