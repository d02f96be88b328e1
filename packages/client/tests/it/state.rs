//! `state_after`, and state that does not follow from the timeline.

use ruma::api::client::sync::sync_events::v3::State;
use serde_json::json;

use crate::{
    response::{ids, joined, state_ids},
    world::{World, filter, user},
};

#[tokio::test]
async fn state_after_is_the_state_at_the_end_of_the_timeline() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let old = world
        .set(room, &alice, "m.room.topic", json!({"topic": "a"}))
        .await;
    for nth in 0..9 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    let new = world
        .set(room, &alice, "m.room.topic", json!({"topic": "b"}))
        .await;
    let response = world
        .ask(&alice, None, |request| request.use_state_after = true)
        .await;
    let found = joined(&world, &response, room);
    assert!(matches!(found.state, State::After(_)));
    let state = state_ids(&found.state);
    assert_eq!(state.len(), 4);
    assert!(state.contains(&new) && !state.contains(&old));
}

#[tokio::test]
async fn state_after_of_an_incremental_sync_repeats_what_the_timeline_changed() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    world
        .set(room, &alice, "m.room.topic", json!({"topic": "a"}))
        .await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "b"}))
        .await;
    let response = world
        .ask(&alice, Some(&first), |request| {
            request.use_state_after = true;
        })
        .await;
    let found = joined(&world, &response, room);
    assert_eq!(found.timeline.events.len(), 2);
    assert_eq!(state_ids(&found.state), [topic]);
    let response = world
        .ask(&alice, Some(&first), |request| {
            request.use_state_after = false;
        })
        .await;
    assert!(joined(&world, &response, room).state.is_empty());
}

#[tokio::test]
async fn state_that_the_timeline_filter_hides_is_in_state() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "a"}))
        .await;
    let said = world.say(room, &alice, "x").await;
    let messages = filter(json!({"room": {"timeline": {"types": ["m.room.message"]}}}));
    let response = world
        .ask(&alice, Some(&first), |request| {
            request.filter = messages.clone();
        })
        .await;
    let found = joined(&world, &response, room);
    assert_eq!(ids(&found.timeline.events), [said]);
    assert_eq!(state_ids(&found.state), [topic]);
}
