//! Filters.

use serde_json::json;

use crate::{
    response::{ids, joined, slots, value},
    world::{World, filter, user},
};

#[tokio::test]
async fn rooms_are_chosen_by_the_filter() {
    let alice = user("alice");
    let mut world = World::new().await;
    let (one, two) = (
        world.room(&alice, "shared").await,
        world.room(&alice, "shared").await,
    );
    let only = filter(json!({"room": {"rooms": [world.id(one)]}}));
    let response = world
        .ask(&alice, None, |request| request.filter = only.clone())
        .await;
    assert_eq!(
        response.rooms.join.keys().collect::<Vec<_>>(),
        [&world.id(one)]
    );
    let not = filter(json!({"room": {"not_rooms": [world.id(one)]}}));
    let response = world
        .ask(&alice, None, |request| request.filter = not.clone())
        .await;
    assert_eq!(
        response.rooms.join.keys().collect::<Vec<_>>(),
        [&world.id(two)]
    );
}

#[tokio::test]
async fn timeline_state_account_data_and_ephemeral_have_their_own() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let said = world.say(room, &alice, "x").await;
    world.read(room, &alice, "m.read", None, &said).await;
    world.set_account_data(&alice, None, "a", json!({})).await;
    world
        .set_account_data(&alice, Some(world.id(room)), "b", json!({}))
        .await;
    let chosen = filter(json!({
        "account_data": {"not_types": ["*"]},
        "room": {
            "timeline": {"types": ["m.room.mess*"]},
            "state": {"types": ["m.room.create"]},
            "ephemeral": {"types": []},
            "account_data": {"not_types": ["b"]},
        },
    }));
    let response = world
        .ask(&alice, None, |request| request.filter = chosen.clone())
        .await;
    let found = joined(&world, &response, room);
    assert_eq!(ids(&found.timeline.events), [said]);
    assert_eq!(
        slots(&found.state),
        [("m.room.create".to_owned(), String::new())]
    );
    assert!(found.ephemeral.is_empty() && found.account_data.is_empty());
    assert!(response.account_data.is_empty());
}

#[tokio::test]
async fn the_limit_is_clamped_and_zero_is_allowed() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    for nth in 0..120 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    for (limit, expected) in [(0, 0), (1, 1), (5000, 100)] {
        let limited = filter(json!({"room": {"timeline": {"limit": limit}}}));
        let response = world
            .ask(&alice, None, |request| request.filter = limited.clone())
            .await;
        let timeline = &joined(&world, &response, room).timeline;
        assert_eq!(timeline.events.len(), expected);
        assert!(timeline.limited);
    }
}

#[tokio::test]
async fn fields_and_format_are_as_asked() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.say(room, &alice, "x").await;
    let fields = filter(json!({"event_fields": ["type", "content.body"]}));
    let response = world
        .ask(&alice, None, |request| request.filter = fields.clone())
        .await;
    let last = joined(&world, &response, room)
        .timeline
        .events
        .last()
        .unwrap();
    assert_eq!(
        value(last),
        json!({"type": "m.room.message", "content": {"body": "x"}})
    );
    let federation = filter(json!({"event_format": "federation"}));
    let response = world
        .ask(&alice, None, |request| request.filter = federation.clone())
        .await;
    let last = joined(&world, &response, room)
        .timeline
        .events
        .last()
        .unwrap();
    assert!(value(last).get("auth_events").is_some());
}
