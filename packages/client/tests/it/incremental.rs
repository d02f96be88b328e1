//! What happened since a token.

use serde_json::json;

use crate::{
    response::{ids, joined, state_ids, value},
    world::{World, filter, user},
};

#[tokio::test]
async fn nothing_new_is_an_empty_response_with_the_same_token() {
    let alice = user("alice");
    let mut world = World::new().await;
    world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    let second = world.since(&alice, &first).await;
    assert!(second.rooms.is_empty() && second.account_data.is_empty());
    assert_eq!(first.next_batch, second.next_batch);
    assert_eq!(second.device_one_time_keys_count.len(), 1);
}

#[tokio::test]
async fn a_new_event_comes_once_and_again_for_the_same_token() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let other = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let first = world.initial(&alice).await;
    let said = world.say(room, &bob, "hello").await;
    for _ in 0..2 {
        let response = world.since(&alice, &first).await;
        let timeline = &joined(&world, &response, room).timeline;
        assert_eq!(ids(&timeline.events), [said.as_str()]);
        assert!(!timeline.limited);
        assert!(!response.rooms.join.contains_key(&world.id(other)));
        let next = world.since(&alice, &response).await;
        assert!(next.rooms.is_empty());
    }
}

#[tokio::test]
async fn more_events_than_the_limit_leave_a_gap_with_the_state_that_changed_in_it() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "t"}))
        .await;
    let name_a = world
        .set(room, &alice, "m.room.name", json!({"name": "a"}))
        .await;
    for nth in 0..9 {
        world.say(room, &alice, &nth.to_string()).await;
    }
    let name_b = world
        .set(room, &alice, "m.room.name", json!({"name": "b"}))
        .await;
    let response = world.since(&alice, &first).await;
    let room = joined(&world, &response, room);
    assert!(room.timeline.limited);
    assert_eq!(room.timeline.events.len(), 10);
    assert_eq!(ids(&room.timeline.events).last(), Some(&name_b));
    assert_eq!(state_ids(&room.state), [topic, name_a]);
    assert_eq!(room.timeline.prev_batch.as_deref(), Some("t5"));
}

#[tokio::test]
async fn a_gap_beyond_what_is_in_memory_is_read_by_position() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let quiet = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    let topic = world
        .set(room, &alice, "m.room.topic", json!({"topic": "t"}))
        .await;
    let mut said = Vec::new();
    for nth in 0..150 {
        said.push(world.say(room, &alice, &nth.to_string()).await);
    }
    let all = filter(json!({"room": {"timeline": {"limit": 100}}}));
    let response = world
        .ask(&alice, Some(&first), |request| request.filter = all.clone())
        .await;
    let found = joined(&world, &response, room);
    assert_eq!(ids(&found.timeline.events), said[50..]);
    assert!(found.timeline.limited);
    assert_eq!(state_ids(&found.state), [topic]);
    assert!(!response.rooms.join.contains_key(&world.id(quiet)));
}

#[tokio::test]
async fn a_token_older_than_the_index_sees_every_change() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let quiet = world.room(&alice, "shared").await;
    let busy = world.room(&bob, "shared").await;
    let first = world.initial(&alice).await;
    let said = world.say(room, &alice, "x").await;
    // Push the message out of the index, without making the test slow: account data of somebody
    // else in few large commits.
    for _ in 0..10 {
        let mut plan = matryx_surrealdb::Plan::new();
        for nth in 0..1000 {
            plan.log(matryx_entity::log::LogEntry::User {
                user: crate::world::user(&format!("u{nth}")),
            });
        }
        world.store.commit(plan).await.unwrap();
    }
    world.say(busy, &bob, "y").await;
    let response = world.since(&alice, &first).await;
    assert_eq!(
        ids(&joined(&world, &response, room).timeline.events),
        [said]
    );
    assert!(!response.rooms.join.contains_key(&world.id(quiet)));
    assert!(!response.rooms.join.contains_key(&world.id(busy)));
}

#[tokio::test]
async fn garbage_is_not_a_token() {
    let alice = user("alice");
    let world = World::new().await;
    for garbage in [
        "",
        "s",
        "t5",
        "s72594_4483_1934",
        "../../etc",
        "sAAAA",
        &"s".repeat(9000),
    ] {
        let request = crate::world::request(&alice, None, |request| {
            request.since = Some(garbage.to_owned());
        });
        let error = world.engine.sync(&request).await.unwrap_err();
        assert!(matches!(
            error,
            matryx_client::sync::SyncError::InvalidToken
        ));
    }
}

#[tokio::test]
async fn full_state_brings_all_rooms_and_all_of_their_state() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    let said = world.say(room, &alice, "x").await;
    let response = world
        .ask(&alice, Some(&first), |request| request.full_state = true)
        .await;
    let room = joined(&world, &response, room);
    assert_eq!(ids(&room.timeline.events), [said]);
    assert_eq!(state_ids(&room.state).len(), 3);
}

#[tokio::test]
async fn account_data_that_changed_comes_alone() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let other = world.room(&alice, "shared").await;
    world.set_account_data(&alice, None, "a", json!({})).await;
    let first = world.initial(&alice).await;
    world
        .set_account_data(&alice, None, "b", json!({"v": 1}))
        .await;
    let response = world.since(&alice, &first).await;
    let events: Vec<_> = response.account_data.events.iter().map(value).collect();
    assert_eq!(events, [json!({"type": "b", "content": {"v": 1}})]);
    assert!(response.rooms.is_empty());
    world
        .set_account_data(
            &alice,
            Some(world.id(room)),
            "m.fully_read",
            json!({"event_id": "$x"}),
        )
        .await;
    let response = world.since(&alice, &response).await;
    let events = &joined(&world, &response, room).account_data.events;
    assert_eq!(value(&events[0])["type"], "m.fully_read");
    assert!(response.account_data.is_empty());
    assert!(!response.rooms.join.contains_key(&world.id(other)));
}

#[tokio::test]
async fn a_redacted_event_is_served_without_its_content() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let first = world.initial(&alice).await;
    world.say(room, &alice, "secret").await;
    assert!(
        timeline_text(&world, &alice, &first, room)
            .await
            .contains("secret")
    );
    redact_last(&mut world, room).await;
    assert!(
        !timeline_text(&world, &alice, &first, room)
            .await
            .contains("secret")
    );
}

async fn timeline_text(
    world: &World,
    user: &ruma::UserId,
    since: &ruma::api::client::sync::sync_events::v3::Response,
    room: matryx_entity::room_no::RoomNo,
) -> String {
    let response = world.since(user, since).await;
    let events = &joined(world, &response, room).timeline.events;
    events
        .iter()
        .map(|event| value(event).to_string())
        .collect()
}

/// Rewrites the newest event's row without its content, as the room domain does.
async fn redact_last(world: &mut World, room: matryx_entity::room_no::RoomNo) {
    let pos = world.rooms[&room].snapshot.head;
    let key = matryx_entity::key![room, pos];
    let row = world
        .store
        .get::<matryx_entity::event::EventRow>(&key)
        .await
        .unwrap();
    let mut row = row.unwrap();
    row.json = row.json.replace("secret", "");
    let mut plan = matryx_surrealdb::Plan::new();
    plan.put(&row);
    plan.log(matryx_entity::log::LogEntry::Redacted { room, pos });
    let redacted = world.store.commit(plan).await.unwrap().last().unwrap();
    // It came without an attachment, so the log path applies it.
    while !world.engine.now().covers(redacted) {
        tokio::task::yield_now().await;
    }
}
