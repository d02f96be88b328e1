//! Unread counts, of rooms and threads.

use ruma::api::client::sync::sync_events::v3::Response;
use serde_json::json;

use crate::{
    response::joined,
    world::{Draft, World, filter, user},
};

fn counts(world: &World, response: &Response, room: matryx_entity::room_no::RoomNo) -> (u64, u64) {
    let unread = &joined(world, response, room).unread_notifications;
    (
        unread.notification_count.unwrap().into(),
        unread.highlight_count.unwrap().into(),
    )
}

fn mention(sender: &ruma::UserId, who: &ruma::UserId) -> Draft {
    let content = json!({"msgtype": "m.text", "body": "hey", "m.mentions": {"user_ids": [who]}});
    Draft::new(sender, "m.room.message", content)
}

#[tokio::test]
async fn messages_of_others_count_until_they_are_read() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    world.say(room, &alice, "own").await;
    let first = world.initial(&alice).await;
    assert_eq!(counts(&world, &first, room), (0, 0));
    let one = world.say(room, &bob, "1").await;
    world.add(room, mention(&bob, &alice)).await;
    let response = world.since(&alice, &first).await;
    assert_eq!(counts(&world, &response, room), (2, 1));
    world.read(room, &alice, "m.read", None, &one).await;
    let response = world.since(&alice, &response).await;
    assert_eq!(counts(&world, &response, room), (1, 1));
    let last = world.say(room, &bob, "3").await;
    world
        .read(room, &alice, "m.read.private", None, &last)
        .await;
    let response = world.since(&alice, &response).await;
    assert_eq!(counts(&world, &response, room), (0, 0));
}

#[tokio::test]
async fn a_cold_count_is_the_same() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let mut read = String::new();
    for nth in 0..150 {
        let said = world.say(room, &bob, &nth.to_string()).await;
        if nth == 49 {
            read = said;
        }
    }
    world.read(room, &alice, "m.read", None, &read).await;
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (100, 0));
    world.restart(matryx_client::sync::FollowerMode::Both).await;
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (100, 0));
}

#[tokio::test]
async fn what_was_said_before_the_join_does_not_count() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.say(room, &alice, "1").await;
    world.join(room, &bob).await;
    world.say(room, &alice, "2").await;
    assert_eq!(counts(&world, &world.initial(&bob).await, room), (1, 0));
}

#[tokio::test]
async fn threads_count_on_their_own_when_the_filter_asks() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let thread_root = world.say(room, &bob, "root").await;
    let mut threaded = String::new();
    for nth in 0..3 {
        let content = json!({
            "msgtype": "m.text",
            "body": nth.to_string(),
            "m.relates_to": {"rel_type": "m.thread", "event_id": thread_root},
        });
        threaded = world
            .add(room, Draft::new(&bob, "m.room.message", content))
            .await;
    }
    let threads = filter(json!({"room": {"timeline": {"unread_thread_notifications": true}}}));
    let response = world
        .ask(&alice, None, |request| request.filter = threads.clone())
        .await;
    assert_eq!(counts(&world, &response, room), (1, 0));
    let by_thread = &joined(&world, &response, room).unread_thread_notifications;
    let thread = by_thread.iter().next().unwrap();
    assert_eq!(thread.0.as_str(), thread_root);
    assert_eq!(thread.1.notification_count, Some(3_u32.into()));
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (4, 0));
    world
        .read(room, &alice, "m.read", Some(&thread_root), &threaded)
        .await;
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (1, 0));
    world
        .read(room, &alice, "m.read", Some("main"), &thread_root)
        .await;
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (0, 0));
}

#[tokio::test]
async fn changed_push_rules_count_anew() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    world.say(room, &bob, "x").await;
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (1, 0));
    let mut rules = ruma::push::Ruleset::server_default(&alice);
    rules
        .set_enabled(ruma::push::RuleKind::Override, ".m.rule.master", true)
        .unwrap();
    let content = json!({"global": rules});
    world
        .set_account_data(&alice, None, "m.push_rules", content)
        .await;
    assert_eq!(counts(&world, &world.initial(&alice).await, room), (0, 0));
}
