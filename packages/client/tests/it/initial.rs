//! The first sync of a client.

use serde_json::json;

use crate::{
    response::{ids, joined, slots, value},
    world::{World, user},
};

#[tokio::test]
async fn a_joined_room_comes_with_timeline_state_and_summary() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let bobs = world.join(room, &bob).await;
    let mut said = Vec::new();
    for nth in 0..12 {
        said.push(world.say(room, &bob, &format!("message {nth}")).await);
    }
    let response = world.initial(&alice).await;
    let room = joined(&world, &response, room);
    assert_eq!(ids(&room.timeline.events), said[2..]);
    assert!(room.timeline.limited);
    assert!(room.timeline.prev_batch.is_some());
    let kinds: Vec<_> = slots(&room.state)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "m.room.create",
            "m.room.history_visibility",
            "m.room.member",
            "m.room.member"
        ]
    );
    assert_eq!(room.summary.heroes, [&*bob]);
    assert_eq!(room.summary.joined_member_count, Some(2_u32.into()));
    assert_eq!(room.summary.invited_member_count, Some(0_u32.into()));
    assert_eq!(
        room.unread_notifications.notification_count,
        Some(12_u32.into())
    );
    assert!(!said.contains(&bobs));
    let first = value(&room.timeline.events[0]);
    assert_eq!(first["sender"], json!(bob));
    assert!(first.get("room_id").is_none() && first.get("auth_events").is_none());
    assert_eq!(first["unsigned"]["membership"], "join");
}

#[tokio::test]
async fn a_short_room_is_not_limited_and_its_state_is_in_the_timeline() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let response = world.initial(&alice).await;
    let room = joined(&world, &response, room);
    assert_eq!(room.timeline.events.len(), 3);
    assert!(!room.timeline.limited);
    assert!(room.state.is_empty());
}

#[tokio::test]
async fn the_slot_that_the_timeline_changes_has_its_earlier_holder_in_state() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world
        .set(room, &alice, "m.room.topic", json!({"topic": "a"}))
        .await;
    for nth in 0..9 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    let second = world
        .set(room, &alice, "m.room.topic", json!({"topic": "b"}))
        .await;
    let response = world.initial(&alice).await;
    let room = joined(&world, &response, room);
    assert!(crate::response::state_ids(&room.state).contains(&first));
    let last = value(room.timeline.events.last().unwrap());
    assert_eq!(last["event_id"], json!(second));
    assert_eq!(last["unsigned"]["prev_content"], json!({"topic": "a"}));
}

#[tokio::test]
async fn an_account_without_rooms_gets_push_rules_and_key_counts() {
    let alice = user("alice");
    let world = World::new().await;
    let response = world.initial(&alice).await;
    assert!(response.rooms.is_empty());
    let account_data: Vec<_> = response.account_data.events.iter().map(value).collect();
    assert_eq!(account_data.len(), 1);
    assert_eq!(account_data[0]["type"], "m.push_rules");
    assert!(account_data[0]["content"]["global"]["override"].is_array());
    assert_eq!(response.device_one_time_keys_count.len(), 1);
    assert_eq!(response.device_unused_fallback_key_types, Some(Vec::new()));
}

#[tokio::test]
async fn account_data_of_account_and_room_is_there() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world
        .set_account_data(&alice, None, "m.direct", json!({"@x:y": ["!z:y"]}))
        .await;
    let tags = json!({"tags": {"m.favourite": {}}});
    world
        .set_account_data(&alice, Some(world.id(room)), "m.tag", tags.clone())
        .await;
    let response = world.initial(&alice).await;
    let global: Vec<_> = response.account_data.events.iter().map(value).collect();
    assert!(global.contains(&json!({"type": "m.direct", "content": {"@x:y": ["!z:y"]}})));
    let events = &joined(&world, &response, room).account_data.events;
    assert_eq!(value(&events[0]), json!({"type": "m.tag", "content": tags}));
}

#[tokio::test]
async fn soft_failed_events_are_not_shown() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let mut draft = crate::world::Draft::new(&alice, "m.room.message", json!({"body": "x"}));
    draft.soft_failed = true;
    let hidden = world.add(room, draft).await;
    let shown = world.say(room, &alice, "y").await;
    let response = world.initial(&alice).await;
    let events = ids(&joined(&world, &response, room).timeline.events);
    assert!(!events.contains(&hidden) && events.contains(&shown));
}
