//! Rooms that the user left or was thrown out of.

use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::{
    response::{ids, left, slots, state_ids},
    world::{World, filter, user},
};

#[tokio::test]
async fn a_leave_ends_the_timeline() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let first = world.initial(&bob).await;
    let said = world.say(room, &alice, "seen").await;
    let leave = world.leave(room, &bob).await;
    world.say(room, &alice, "unseen").await;
    world
        .set(room, &alice, "m.room.topic", json!({"topic": "unseen"}))
        .await;
    let response = world.since(&bob, &first).await;
    let found = left(&world, &response, room);
    assert_eq!(ids(&found.timeline.events), [said, leave]);
    assert!(found.state.is_empty());
    assert!(response.rooms.join.is_empty());
    assert!(world.since(&bob, &response).await.rooms.is_empty());
    assert!(world.initial(&bob).await.rooms.is_empty());
}

#[tokio::test]
async fn a_ban_and_a_kick_end_it_too() {
    for membership in [MembershipState::Ban, MembershipState::Leave] {
        let (alice, bob) = (user("alice"), user("bob"));
        let mut world = World::new().await;
        let room = world.room(&alice, "shared").await;
        world.join(room, &bob).await;
        let first = world.initial(&bob).await;
        let out = world.membership(room, &alice, &bob, membership).await;
        world.say(room, &alice, "unseen").await;
        let response = world.since(&bob, &first).await;
        assert_eq!(ids(&left(&world, &response, room).timeline.events), [out]);
    }
}

#[tokio::test]
async fn an_unban_shows_nothing_of_the_time_in_between() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let first = world.initial(&bob).await;
    let ban = world
        .membership(room, &alice, &bob, MembershipState::Ban)
        .await;
    let secret = world.say(room, &alice, "unseen").await;
    let unban = world
        .membership(room, &alice, &bob, MembershipState::Leave)
        .await;
    let response = world.since(&bob, &first).await;
    let events = ids(&left(&world, &response, room).timeline.events);
    assert!(events.contains(&ban) && !events.contains(&secret));
    assert_eq!(events.last(), Some(&unban));
}

#[tokio::test]
async fn archived_rooms_come_when_the_filter_asks_with_their_state_at_the_leave() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let old_topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "old"}))
        .await;
    for nth in 0..12 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    world.leave(room, &bob).await;
    let new_topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "new"}))
        .await;
    let archived = filter(json!({"room": {"include_leave": true}}));
    let response = world
        .ask(&bob, None, |request| request.filter = archived.clone())
        .await;
    let found = left(&world, &response, room);
    let state = state_ids(&found.state);
    assert!(state.contains(&old_topic) && !state.contains(&new_topic));
    assert_eq!(slots(&found.state).len(), 5);
    assert_eq!(found.timeline.events.len(), 10);
    assert!(found.timeline.limited);
}

#[tokio::test]
async fn a_forgotten_room_is_gone() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    world.leave(room, &bob).await;
    let mut member = world.members[&(bob.clone(), room)].clone();
    member.forgotten = true;
    world.put_member(&member).await;
    let archived = filter(json!({"room": {"include_leave": true}}));
    let response = world
        .ask(&bob, None, |request| request.filter = archived.clone())
        .await;
    assert!(response.rooms.is_empty());
}

#[tokio::test]
async fn a_rejected_invite_shows_only_the_users_own_events() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world
        .membership(room, &alice, &bob, MembershipState::Invite)
        .await;
    let first = world.initial(&bob).await;
    let secret = world.say(room, &alice, "unseen").await;
    let leave = world.leave(room, &bob).await;
    let response = world.since(&bob, &first).await;
    let found = left(&world, &response, room);
    let events = ids(&found.timeline.events);
    assert!(!events.contains(&secret), "{events:?}");
    assert!(events.is_empty() || events == [leave]);
    assert!(found.state.is_empty());
}

#[tokio::test]
async fn a_room_joined_and_left_within_the_window_comes_with_its_state() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    for nth in 0..12 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    let first = world.initial(&bob).await;
    let join = world.join(room, &bob).await;
    let leave = world.leave(room, &bob).await;
    let response = world.since(&bob, &first).await;
    let found = left(&world, &response, room);
    assert!(ids(&found.timeline.events).ends_with(&[join, leave]));
    assert_eq!(state_ids(&found.state).len(), 3);
}
