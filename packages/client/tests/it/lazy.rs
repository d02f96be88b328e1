//! Lazy-loaded members.

use std::sync::Arc;

use ruma::api::client::{filter::FilterDefinition, sync::sync_events::v3::Response};
use serde_json::json;

use crate::{
    response::{joined, slots},
    world::{World, filter, user},
};

fn lazy(redundant: bool) -> Arc<FilterDefinition> {
    filter(json!({"room": {
        "state": {"lazy_load_members": true, "include_redundant_members": redundant},
        "timeline": {"limit": 2},
    }}))
}

async fn ask(
    world: &World,
    name: &str,
    since: Option<&Response>,
    filter: &Arc<FilterDefinition>,
) -> Response {
    let user = user(name);
    world
        .ask(&user, since, |request| request.filter = Arc::clone(filter))
        .await
}

fn members(
    world: &World,
    response: &Response,
    room: matryx_entity::room_no::RoomNo,
) -> Vec<String> {
    let slots = slots(&joined(world, response, room).state);
    let members = slots
        .into_iter()
        .filter(|(kind, _)| kind == "m.room.member");
    members
        .map(|(_, key)| key.split(':').next().unwrap().to_owned())
        .collect()
}

/// A room named "n" of alice, who made it, and ten others; nobody has said anything yet.
async fn crowd(world: &mut World) -> matryx_entity::room_no::RoomNo {
    let alice = user("alice");
    let room = world.room(&alice, "shared").await;
    for nth in 0..10 {
        world.join(room, &user(&format!("u{nth}"))).await;
    }
    world
        .set(room, &alice, "m.room.name", json!({"name": "n"}))
        .await;
    room
}

#[tokio::test]
async fn only_senders_and_the_user_come() {
    let mut world = World::new().await;
    let room = crowd(&mut world).await;
    world.say(room, &user("u3"), "x").await;
    world.say(room, &user("u4"), "x").await;
    let response = ask(&world, "alice", None, &lazy(false)).await;
    assert_eq!(members(&world, &response, room), ["@alice", "@u3", "@u4"]);
}

#[tokio::test]
async fn heroes_of_a_room_without_a_name_come_too() {
    let mut world = World::new().await;
    let room = crowd(&mut world).await;
    world
        .set(room, &user("alice"), "m.room.name", json!({"name": ""}))
        .await;
    world.say(room, &user("u9"), "x").await;
    world.say(room, &user("u9"), "x").await;
    let response = ask(&world, "alice", None, &lazy(false)).await;
    let expected = ["@alice", "@u0", "@u1", "@u2", "@u3", "@u4", "@u9"];
    assert_eq!(members(&world, &response, room), expected);
    assert_eq!(joined(&world, &response, room).summary.heroes.len(), 5);
}

#[tokio::test]
async fn a_member_comes_once_per_device_unless_redundant_ones_are_wanted() {
    let mut world = World::new().await;
    let room = crowd(&mut world).await;
    let first = ask(&world, "alice", None, &lazy(false)).await;
    world.say(room, &user("u3"), "x").await;
    let second = ask(&world, "alice", Some(&first), &lazy(false)).await;
    assert_eq!(members(&world, &second, room), ["@u3"]);
    world.say(room, &user("u3"), "y").await;
    let third = ask(&world, "alice", Some(&second), &lazy(false)).await;
    assert!(members(&world, &third, room).is_empty());
    let again = ask(&world, "alice", Some(&second), &lazy(true)).await;
    assert_eq!(members(&world, &again, room), ["@alice", "@u3"]);
}

#[tokio::test]
async fn a_member_is_sent_again_when_the_response_was_lost() {
    let mut world = World::new().await;
    let room = crowd(&mut world).await;
    let first = ask(&world, "alice", None, &lazy(false)).await;
    world.say(room, &user("u3"), "x").await;
    for _ in 0..3 {
        let retried = ask(&world, "alice", Some(&first), &lazy(false)).await;
        assert_eq!(members(&world, &retried, room), ["@u3"]);
    }
}

#[tokio::test]
async fn a_member_whose_profile_changed_before_the_message_is_sent_anew() {
    let mut world = World::new().await;
    let room = crowd(&mut world).await;
    let first = ask(&world, "alice", None, &lazy(false)).await;
    world.say(room, &user("u3"), "x").await;
    let second = ask(&world, "alice", Some(&first), &lazy(false)).await;
    world.join(room, &user("u3")).await;
    for _ in 0..3 {
        world.say(room, &user("u3"), "y").await;
    }
    let third = ask(&world, "alice", Some(&second), &lazy(false)).await;
    assert_eq!(members(&world, &third, room), ["@u3"]);
}
