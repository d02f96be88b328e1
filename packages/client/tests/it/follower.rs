//! Hand-over and log path: either alone suffices, whatever is lost, doubled or out of order.

use std::sync::{Arc, Mutex};

use matryx_client::sync::FollowerMode;
use matryx_entity::{position::Position, room_no::RoomNo, token::SyncToken};
use matryx_surrealdb::{CommittedBatch, Database, Store, StoreConfig};
use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::{
    response::{ids, joined, left, value},
    world::{World, user},
};

/// Waits until the engine has applied all that is committed.
pub(crate) async fn settled(world: &World) {
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

#[tokio::test]
async fn what_another_process_writes_comes_by_its_log() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut config = StoreConfig::new("mem://");
    config.node = Some(1);
    config.poll_interval = std::time::Duration::from_millis(5);
    let database = Database::connect(&config).await.unwrap();
    let here = Store::open_on(database.clone(), &config).await.unwrap();
    config.node = Some(2);
    let there = Store::open_on(database, &config).await.unwrap();
    let local = crate::world::options(FollowerMode::Both);
    let mut writer = World::on(there, local.clone()).await;
    let reader = World::on(here, local).await;
    let room = writer.room(&alice, "shared").await;
    writer.join(room, &bob).await;
    reach(&reader, &writer).await;
    let first = reader.initial(&bob).await;
    assert!(first.rooms.join.contains_key(&writer.id(room)));
    let said = writer.say(room, &alice, "x").await;
    let topic = writer
        .set(room, &alice, "m.room.topic", json!({"topic": "t"}))
        .await;
    writer.read(room, &alice, "m.read", None, &said).await;
    let ahead = writer.since(&bob, &first).await;
    reach(&reader, &writer).await;
    let second = reader.since(&bob, &first).await;
    let found = &second.rooms.join[&writer.id(room)];
    assert_eq!(ids(&found.timeline.events), [said, topic]);
    assert_eq!(found.ephemeral.events.len(), 1);
    // A token of one process is good at the other.
    for world in [&writer, &reader] {
        for token in [&second, &ahead] {
            assert!(world.since(&bob, token).await.rooms.is_empty());
        }
    }
}

/// Waits until one world has applied what the other has.
async fn reach(reader: &World, writer: &World) {
    let goal = writer.engine.now();
    while !goal.positions().all(|at| reader.engine.now().covers(at)) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_token_of_a_process_that_is_ahead_is_not_taken_back() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let first = world.initial(&bob).await;
    let ahead: SyncToken = first.next_batch.parse().unwrap();
    let mut ahead = SyncToken::new(ahead.positions());
    ahead.advance(Position { node: 7, seq: 40 });
    let request = crate::world::request(&bob, None, |request| {
        request.since = Some(ahead.to_string());
    });
    let response = world.engine.sync(&request).await.unwrap();
    let next: SyncToken = response.next_batch.parse().unwrap();
    assert_eq!(next.seq(7), 40);
}

/// Collects the batches that the store hands over, for the test to deliver as it likes.
pub(crate) fn collect(world: &World) -> Arc<Mutex<Vec<CommittedBatch>>> {
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
    world
        .engine
        .on_entry(move |_, _| *count.lock().unwrap() += 1);
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
