//! Joining, being invited, knocking, and what comes back after a leave.

use matryx_entity::{member::Member, position::Position};
use ruma::{events::room::member::MembershipState, room_id};
use serde_json::json;

use crate::{
    response::{ids, joined, state_ids, value},
    world::{World, user},
};

#[tokio::test]
async fn a_room_joined_within_the_window_comes_with_all_of_its_state() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    for nth in 0..20 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    let first = world.initial(&bob).await;
    assert!(first.rooms.is_empty());
    let join = world.join(room, &bob).await;
    let response = world.since(&bob, &first).await;
    let found = joined(&world, &response, room);
    assert_eq!(ids(&found.timeline.events).last(), Some(&join));
    assert_eq!(found.timeline.events.len(), 10, "shared history is visible");
    assert!(found.timeline.limited);
    assert_eq!(state_ids(&found.state).len(), 3);
    assert_eq!(found.summary.joined_member_count, Some(2_u32.into()));
    let again = world.since(&bob, &response).await;
    assert!(again.rooms.is_empty());
}

#[tokio::test]
async fn a_profile_change_after_the_join_does_not_hide_the_join() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&bob).await;
    world.join(room, &bob).await;
    world.join(room, &bob).await;
    for restarted in [false, true] {
        if restarted {
            world.restart(matryx_client::sync::FollowerMode::Both).await;
        }
        let response = world.since(&bob, &first).await;
        let found = joined(&world, &response, room);
        let slots = crate::response::slots(&found.state);
        let all = slots.len() + found.timeline.events.len();
        assert!(
            all >= 5,
            "create, alice, visibility and both of bob's: {slots:?}"
        );
    }
}

#[tokio::test]
async fn joined_history_starts_at_the_join() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "joined").await;
    let secret = world.say(room, &alice, "before").await;
    let join = world.join(room, &bob).await;
    let after = world.say(room, &alice, "after").await;
    let response = world.initial(&bob).await;
    let events = ids(&joined(&world, &response, room).timeline.events);
    assert!(!events.contains(&secret));
    assert!(events.ends_with(&[join, after]));
}

#[tokio::test]
async fn a_rejoin_after_a_leave_is_a_new_room() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "joined").await;
    world.join(room, &bob).await;
    let first = world.initial(&bob).await;
    world.leave(room, &bob).await;
    let missed = world.say(room, &alice, "missed").await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "x"}))
        .await;
    let rejoin = world.join(room, &bob).await;
    let response = world.since(&bob, &first).await;
    let found = joined(&world, &response, room);
    let events = ids(&found.timeline.events);
    assert!(!events.contains(&missed) && events.contains(&rejoin));
    assert!(found.timeline.limited);
    let state = state_ids(&found.state);
    assert!(state.contains(&topic));
    assert_eq!(state.len() + events.len(), 7, "all but the missed message");
    assert!(response.rooms.leave.is_empty());
}

#[tokio::test]
async fn an_invite_shows_stripped_state_until_it_is_answered() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world
        .set(room, &alice, "m.room.name", json!({"name": "n"}))
        .await;
    let first = world.initial(&bob).await;
    world
        .membership(room, &alice, &bob, MembershipState::Invite)
        .await;
    for response in [world.since(&bob, &first).await, world.initial(&bob).await] {
        let invite = &response.rooms.invite[&world.id(room)];
        let events: Vec<_> = invite.invite_state.events.iter().map(value).collect();
        let kinds: Vec<_> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["m.room.create", "m.room.name", "m.room.member"]);
        assert_eq!(events[2]["state_key"], json!(bob));
        assert_eq!(events[2]["content"]["membership"], "invite");
        assert!(events[2].get("event_id").is_none());
    }
    let seen = world.initial(&bob).await;
    world.say(room, &alice, "not for bob").await;
    assert!(world.since(&bob, &seen).await.rooms.is_empty());
    world.join(room, &bob).await;
    let response = world.since(&bob, &seen).await;
    assert!(response.rooms.invite.is_empty());
    joined(&world, &response, room);
}

#[tokio::test]
async fn an_invite_from_an_ignored_user_is_not_shown() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let ignored = json!({"ignored_users": {alice.as_str(): {}}});
    world
        .set_account_data(&bob, None, "m.ignored_user_list", ignored)
        .await;
    world
        .membership(room, &alice, &bob, MembershipState::Invite)
        .await;
    assert!(world.initial(&bob).await.rooms.invite.is_empty());
}

#[tokio::test]
async fn an_invite_to_a_foreign_room_comes_with_what_it_brought() {
    let bob = user("bob");
    let world = World::new().await;
    let first = world.initial(&bob).await;
    let room_id = room_id!("!far:remote.test");
    let mut member = Member {
        user: bob.clone(),
        room: world.store.next_room_no().unwrap(),
        room_id: room_id.to_owned(),
        membership: MembershipState::Invite,
        event_id: "$invite".try_into().unwrap(),
        sender: "@mallory:remote.test".try_into().unwrap(),
        pos: 0,
        at: Position::default(),
        since: Position::default(),
        spans: Vec::new(),
        forgotten: false,
        stripped_state: Some(
            json!([{"type": "m.room.name", "state_key": "", "sender": "@m:r", "content": {}}])
                .to_string(),
        ),
    };
    world.put_member(&member).await;
    let second = world.since(&bob, &first).await;
    let events = &second.rooms.invite[room_id].invite_state.events;
    assert_eq!(value(&events[0])["type"], "m.room.name");
    member.membership = MembershipState::Leave;
    member.stripped_state = None;
    world.put_member(&member).await;
    let third = world.since(&bob, &second).await;
    assert!(third.rooms.leave.contains_key(room_id) && third.rooms.invite.is_empty());
    member.forgotten = true;
    world.put_member(&member).await;
    assert!(world.since(&bob, &third).await.rooms.is_empty());
}

#[tokio::test]
async fn a_knock_shows_what_may_be_known() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&bob).await;
    world
        .membership(room, &bob, &bob, MembershipState::Knock)
        .await;
    let response = world.since(&bob, &first).await;
    let knock = &response.rooms.knock[&world.id(room)];
    assert_eq!(knock.knock_state.events.len(), 2);
    world.leave(room, &bob).await;
    let response = world.since(&bob, &response).await;
    assert!(response.rooms.knock.is_empty());
    assert!(response.rooms.leave.contains_key(&world.id(room)));
}

#[tokio::test]
async fn messages_of_ignored_users_are_left_out_but_not_their_state() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let ignored = json!({"ignored_users": {bob.as_str(): {}}});
    world
        .set_account_data(&alice, None, "m.ignored_user_list", ignored)
        .await;
    let said = world.say(room, &bob, "spam").await;
    let topic = world
        .set(room, &bob, "m.room.topic", json!({"topic": "t"}))
        .await;
    let response = world.initial(&alice).await;
    let found = joined(&world, &response, room);
    let events = ids(&found.timeline.events);
    assert!(!events.contains(&said) && events.contains(&topic));
    assert_eq!(
        found.unread_notifications.notification_count,
        Some(0_u32.into())
    );
}
