//! Typing and receipts.

use ruma::{MilliSecondsSinceUnixEpoch, UInt, api::client::sync::sync_events::v3::Response};
use serde_json::{Value, json};

use crate::{
    response::{joined, value},
    world::{World, user},
};

fn ephemeral(
    world: &World,
    response: &Response,
    room: matryx_entity::room_no::RoomNo,
    kind: &str,
) -> Option<Value> {
    let events = &response.rooms.join.get(&world.id(room))?.ephemeral.events;
    let found = events
        .iter()
        .map(value)
        .find(|event| event["type"] == kind)?;
    Some(found["content"].clone())
}

fn soon(world: &World, ms: u64) -> MilliSecondsSinceUnixEpoch {
    let now: u64 = matryx_entity::clock::Clock::now(&*world.clock).get().into();
    MilliSecondsSinceUnixEpoch(UInt::new(now + ms).unwrap())
}

#[tokio::test]
async fn typing_comes_once_and_its_end_too() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let first = world.initial(&alice).await;
    assert_eq!(ephemeral(&world, &first, room, "m.typing"), None);
    world
        .engine
        .typing()
        .set(room, &bob, Some(soon(&world, 30_000)));
    let second = world.since(&alice, &first).await;
    let typing = ephemeral(&world, &second, room, "m.typing");
    assert_eq!(typing, Some(json!({"user_ids": [bob]})));
    let initial = world.initial(&alice).await;
    assert_eq!(ephemeral(&world, &initial, room, "m.typing"), typing);
    assert!(world.since(&alice, &second).await.rooms.is_empty());
    world.engine.typing().set(room, &bob, None);
    let third = world.since(&alice, &second).await;
    let typing = ephemeral(&world, &third, room, "m.typing");
    assert_eq!(typing, Some(json!({"user_ids": []})));
}

#[tokio::test]
async fn who_is_not_in_the_room_does_not_see_typing() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&bob).await;
    world
        .engine
        .typing()
        .set(room, &alice, Some(soon(&world, 30_000)));
    assert!(world.since(&bob, &first).await.rooms.is_empty());
}

#[tokio::test]
async fn receipts_come_with_thread_and_private_ones_only_to_their_owner() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let said = world.say(room, &alice, "x").await;
    let first = world.initial(&alice).await;
    let bobs = world.initial(&bob).await;
    world.read(room, &bob, "m.read", Some("main"), &said).await;
    world.read(room, &bob, "m.read.private", None, &said).await;
    let ts = u64::from(matryx_entity::clock::Clock::now(&*world.clock).get());
    let public = json!({said.as_str(): {
        "m.read": {bob.as_str(): {"ts": ts, "thread_id": "main"}},
    }});
    let own = json!({said.as_str(): {
        "m.read": {bob.as_str(): {"ts": ts, "thread_id": "main"}},
        "m.read.private": {bob.as_str(): {"ts": ts}},
    }});
    let response = world.since(&alice, &first).await;
    assert_eq!(
        ephemeral(&world, &response, room, "m.receipt"),
        Some(public.clone())
    );
    let initial = world.initial(&alice).await;
    assert_eq!(ephemeral(&world, &initial, room, "m.receipt"), Some(public));
    let response = world.since(&bob, &bobs).await;
    assert_eq!(ephemeral(&world, &response, room, "m.receipt"), Some(own));
    assert!(world.since(&bob, &response).await.rooms.is_empty());
}

#[tokio::test]
async fn a_receipt_that_moved_twice_comes_where_it_is() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let one = world.say(room, &alice, "1").await;
    let two = world.say(room, &alice, "2").await;
    let first = world.initial(&alice).await;
    world.read(room, &bob, "m.read", None, &one).await;
    world.read(room, &bob, "m.read", None, &two).await;
    let response = world.since(&alice, &first).await;
    let receipts = ephemeral(&world, &response, room, "m.receipt").unwrap();
    assert!(receipts.get(&two).is_some() && receipts.get(&one).is_none());
    assert!(joined(&world, &response, room).timeline.events.is_empty());
}
