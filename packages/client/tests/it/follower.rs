//! Hand-over and log path: either alone suffices, whatever is lost, doubled or out of order.

use std::sync::{Arc, Mutex};

use matryx_client::sync::FollowerMode;
use matryx_entity::{position::Position, room_no::RoomNo};
use matryx_surrealdb::CommittedBatch;
use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::{
    response::{ids, joined, left, value},
    world::{World, user},
};

/// Waits until the engine has applied all that is committed.
async fn settled(world: &World) {
    let watermarks = world.store.watermarks().borrow().clone();
    for (node, seq) in watermarks.iter() {
        while !world.engine.now().covers(Position { node, seq }) {
            tokio::task::yield_now().await;
        }
    }
}

/// Some of everything; then what bob sees of it.
async fn story(world: &mut World) {
    let (alice, bob) = (user("alice"), user("bob"));
    let room = world.room(&alice, "shared").await;
    let gone = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    world.join(gone, &bob).await;
    settled(world).await;
    let first = world.initial(&bob).await;
    let said = world.say(room, &alice, "x").await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "t"}))
        .await;
    world.read(room, &alice, "m.read", None, &said).await;
    world
        .set_account_data(&bob, None, "a", json!({"v": 1}))
        .await;
    let kick = world
        .membership(gone, &alice, &bob, MembershipState::Leave)
        .await;
    world.say(gone, &alice, "unseen").await;
    settled(world).await;
    check(world, &first, room, gone, &[said, topic], &kick).await;
}

async fn check(
    world: &World,
    first: &ruma::api::client::sync::sync_events::v3::Response,
    room: RoomNo,
    gone: RoomNo,
    said: &[String],
    kick: &str,
) {
    let bob = user("bob");
    let response = world.since(&bob, first).await;
    let found = joined(world, &response, room);
    assert_eq!(ids(&found.timeline.events), said);
    assert_eq!(found.ephemeral.events.len(), 1);
    assert_eq!(ids(&left(world, &response, gone).timeline.events), [kick]);
    let data: Vec<_> = response.account_data.events.iter().map(value).collect();
    assert_eq!(data, [json!({"type": "a", "content": {"v": 1}})]);
    assert!(world.since(&bob, &response).await.rooms.is_empty());
    assert_eq!(world.engine.status().lag, 0);
}

#[tokio::test]
async fn the_hand_over_alone_suffices() {
    let mut world = World::with(FollowerMode::HandOver).await;
    story(&mut world).await;
}

#[tokio::test]
async fn the_log_alone_suffices() {
    let mut world = World::with(FollowerMode::Log).await;
    story(&mut world).await;
}

#[tokio::test]
async fn the_log_helps_out_when_commits_bring_nothing_along() {
    let mut world = World::with(FollowerMode::Both).await;
    world.attach = false;
    story(&mut world).await;
}

#[tokio::test]
async fn both_together_repeat_nothing() {
    let mut world = World::with(FollowerMode::Both).await;
    story(&mut world).await;
}

/// Collects the batches that the store hands over, for the test to deliver as it likes.
fn collect(world: &World) -> Arc<Mutex<Vec<CommittedBatch>>> {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&batches);
    world
        .store
        .on_committed(move |batch| sink.lock().unwrap().push(batch.clone()));
    batches
}

#[tokio::test]
async fn lost_doubled_and_reordered_batches_change_nothing() {
    let (alice, bob) = (user("alice"), user("bob"));
    // The log path is the safety net; batches arrive by hand only.
    let mut world = World::with(FollowerMode::Log).await;
    let batches = collect(&world);
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    settled(&world).await;
    let first = world.initial(&bob).await;
    let mut said = Vec::new();
    for round in 0..30 {
        said.push(world.say(room, &alice, &round.to_string()).await);
        if round % 3 != 0 {
            continue;
        }
        let mut taken = std::mem::take(&mut *batches.lock().unwrap());
        // Out of order, twice, and some not at all.
        taken.reverse();
        for batch in taken.iter().chain(&taken).skip(round % 2) {
            world.engine.apply(batch);
        }
    }
    settled(&world).await;
    let all = crate::world::filter(json!({"room": {"timeline": {"limit": 100}}}));
    let response = world
        .ask(&bob, Some(&first), |request| request.filter = all.clone())
        .await;
    assert_eq!(ids(&joined(&world, &response, room).timeline.events), said);
}

#[tokio::test]
async fn listeners_hear_every_entry_once() {
    let alice = user("alice");
    let mut world = World::new().await;
    let heard = Arc::new(Mutex::new(0));
    let count = Arc::clone(&heard);
    world.engine.on_entry(move |_| *count.lock().unwrap() += 1);
    world.room(&alice, "shared").await;
    let mut plan = matryx_surrealdb::Plan::new();
    plan.log(matryx_entity::log::LogEntry::Revoked {
        user: alice.clone(),
        device: None,
    });
    world.store.commit(plan).await.unwrap();
    settled(&world).await;
    assert_eq!(*heard.lock().unwrap(), 4);
}
