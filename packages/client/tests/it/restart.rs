//! A new engine on the same database answers the same.

use matryx_client::sync::FollowerMode;
use matryx_entity::{clock::Clock as _, erasure::Erasure, log::LogEntry, room::Room};
use matryx_surrealdb::Plan;
use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::{
    response::{ids, joined, left, state_ids},
    world::{World, user},
};

#[tokio::test]
async fn a_token_from_before_a_restart_still_works() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let gone = world.room(&alice, "shared").await;
    let new = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    world.join(gone, &bob).await;
    let first = world.initial(&bob).await;
    let said = world.say(room, &alice, "x").await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "x"}))
        .await;
    let kick = world
        .membership(gone, &alice, &bob, MembershipState::Leave)
        .await;
    world.say(gone, &alice, "unseen").await;
    world.join(new, &bob).await;
    world.read(room, &alice, "m.read", None, &said).await;
    world.restart(FollowerMode::Both).await;
    let response = world.since(&bob, &first).await;
    let found = joined(&world, &response, room);
    assert_eq!(ids(&found.timeline.events), [said, topic]);
    assert!(found.state.is_empty());
    assert_eq!(found.ephemeral.events.len(), 1);
    assert_eq!(ids(&left(&world, &response, gone).timeline.events), [kick]);
    assert_eq!(joined(&world, &response, new).timeline.events.len(), 4);
    let later = world.since(&bob, &response).await;
    assert!(later.rooms.is_empty());
}

#[tokio::test]
async fn where_this_server_came_back_into_a_room_is_remembered() {
    let alice = user("alice");
    let mut world = World::new().await;
    let no = world.room(&alice, "shared").await;
    let held = world.engine.room(no).await.unwrap().unwrap();
    assert_eq!(held.entered, 1);
    let mut plan = Plan::new();
    plan.put(&Room {
        no,
        room_id: held.room_id.clone(),
        version: held.version.clone(),
        entered: 3,
    });
    world.store.commit(plan).await.unwrap();
    world.restart(FollowerMode::Both).await;
    let loaded = world.engine.room(no).await.unwrap().unwrap();
    assert_eq!(loaded.entered, 3);
}

#[tokio::test]
async fn a_room_read_from_the_database_is_the_room_that_was_written() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "invited").await;
    world
        .membership(room, &alice, &bob, MembershipState::Invite)
        .await;
    for nth in 0..100 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    world
        .set(
            room,
            &alice,
            "m.room.history_visibility",
            json!({"history_visibility": "joined"}),
        )
        .await;
    world.restart(FollowerMode::Both).await;
    let read = world.engine.room(room).await.unwrap().unwrap();
    let written = &world.rooms[&room].snapshot;
    assert_eq!(read.head, written.head);
    assert_eq!(read.depth, written.depth);
    assert_eq!(read.group, written.group);
    assert_eq!(read.extremities, written.extremities);
    assert_eq!(read.joined_count, 1);
    assert_eq!(read.invited_count, 1);
    assert_eq!(read.local_joined, written.local_joined);
    assert_eq!(read.visibility, written.visibility);
    assert_eq!(read.recent.len(), written.recent.len());
    let places = |room: &matryx_entity::room_snapshot::RoomSnapshot| {
        room.state().map(|event| event.pos).collect::<Vec<_>>()
    };
    assert_eq!(places(&read), places(written));
    let by_id = world
        .engine
        .room_by_id(&world.id(room))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(by_id.no, room);
    let unknown = ruma::room_id!("!nowhere:local.test");
    assert!(world.engine.room_by_id(unknown).await.unwrap().is_none());
}

#[tokio::test]
async fn a_cache_that_is_too_small_is_only_slower() {
    let alice = user("alice");
    let mut world = World::new().await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(world.room(&alice, "shared").await);
    }
    let mut small = crate::world::options(FollowerMode::Both);
    small.room_bytes = 10_000;
    small.user_bytes = 1;
    small.receipt_bytes = 1;
    small.unread_bytes = 1;
    world.restart_with(small).await;
    let first = world.initial(&alice).await;
    assert_eq!(first.rooms.join.len(), 5);
    let name = world
        .set(rooms[3], &alice, "m.room.name", json!({"name": "x"}))
        .await;
    let response = world.since(&alice, &first).await;
    let found = joined(&world, &response, rooms[3]);
    assert_eq!(ids(&found.timeline.events), [name]);
    assert!(state_ids(&found.state).is_empty());
    let status = world.engine.status();
    let rooms = status
        .caches
        .iter()
        .find(|cache| cache.name == "rooms")
        .unwrap();
    assert!(rooms.evictions > 0 && rooms.entries < 5);
}

#[tokio::test]
async fn an_erased_user_stays_erased() {
    let (alice, bob) = (user("alice"), user("bob"));
    for mode in [FollowerMode::HandOver, FollowerMode::Log] {
        let mut world = World::with(mode).await;
        let room = world.room(&alice, "shared").await;
        let said = world.say(room, &alice, "a secret").await;
        let mut plan = Plan::new();
        plan.put(&Erasure {
            user: alice.clone(),
            ts: world.clock.now(),
        });
        plan.log(LogEntry::Erased {
            user: alice.clone(),
        });
        world.store.commit(plan).await.unwrap();
        world.join(room, &bob).await;
        for _ in 0..2 {
            for (reader, sees) in [(&alice, true), (&bob, false)] {
                let response = world.initial(reader).await;
                let timeline = &joined(&world, &response, room).timeline.events;
                let place = ids(timeline).iter().position(|id| *id == said).unwrap();
                let event = timeline[place].json().get();
                assert_eq!(event.contains("a secret"), sees, "{event}");
            }
            world.restart(mode).await;
        }
    }
}
