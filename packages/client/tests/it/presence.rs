//! Who is online, as it follows from who syncs, who does something, and the time.

use std::time::Duration;

use matryx_client::sync::RemotePresence;
use ruma::{
    OwnedUserId, UserId, api::client::sync::sync_events::v3::Response, presence::PresenceState,
};
use serde_json::{Value, json};

use crate::{
    response::value,
    world::{World, filter, request, user},
};

/// What a response says of users, by their ids.
fn told(response: &Response) -> Vec<(String, String)> {
    let mut told: Vec<_> = response
        .presence
        .events
        .iter()
        .map(|event| {
            let event: Value = value(event);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&event["sender"]), text(&event["content"]["presence"]))
        })
        .collect();
    told.sort();
    told
}

fn says(user: &UserId, presence: &str) -> (String, String) {
    (user.to_string(), presence.to_owned())
}

async fn pair() -> (World, OwnedUserId, OwnedUserId) {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    (world, alice, bob)
}

#[tokio::test]
async fn who_syncs_is_online_and_goes_after_a_while() {
    let (world, alice, bob) = pair().await;
    let first = world.initial(&alice).await;
    assert_eq!(told(&first), [says(&alice, "online")]);
    let second = world.since(&alice, &first).await;
    assert_eq!(told(&second), []);
    let of_bob = world.initial(&bob).await;
    assert_eq!(
        told(&of_bob),
        [says(&alice, "online"), says(&bob, "online")]
    );
    let third = world.since(&alice, &second).await;
    assert_eq!(told(&third), [says(&bob, "online")]);
    // Within the grace nothing has changed; after it bob is gone, and who asks is not.
    world.clock.advance(14_000);
    let fourth = world.since(&alice, &third).await;
    assert_eq!(told(&fourth), []);
    world.clock.advance(2_000);
    let waiting = request(&alice, Some(&fourth), |request| {
        request.timeout = Duration::from_secs(20);
    });
    // The deadline is looked at when it comes; here the time was moved on.
    let other = request(&user("carol"), None, |_| {});
    let (response, _) = tokio::join!(world.engine.sync(&waiting), world.engine.sync(&other));
    assert_eq!(told(&response.unwrap()), [says(&bob, "offline")]);
}

#[tokio::test]
async fn a_client_that_must_not_show_does_not() {
    let (world, alice, bob) = pair().await;
    let first = world.initial(&alice).await;
    world
        .ask(&bob, None, |request| {
            request.set_presence = PresenceState::Offline;
        })
        .await;
    assert_eq!(told(&world.since(&alice, &first).await), []);
    world
        .ask(&bob, None, |request| {
            request.set_presence = PresenceState::Unavailable;
        })
        .await;
    let second = world.since(&alice, &first).await;
    assert_eq!(told(&second), [says(&bob, "unavailable")]);
    let nobody = filter(json!({ "presence": { "not_types": ["m.presence"] } }));
    let filtered = world
        .ask(&alice, Some(&first), |request| request.filter = nobody)
        .await;
    assert_eq!(told(&filtered), []);
}

#[tokio::test]
async fn who_does_nothing_is_idle_and_who_does_something_is_not() {
    let (mut world, alice, bob) = pair().await;
    let room = *world.rooms.keys().next().unwrap();
    let mut first = world.initial(&alice).await;
    world.initial(&bob).await;
    first = world.since(&alice, &first).await;
    for _ in 0..31 {
        world.clock.advance(10_000);
        world.initial(&bob).await;
    }
    let idle = world.since(&alice, &first).await;
    let of_bob: Vec<_> = told(&idle)
        .into_iter()
        .filter(|(user, _)| *user == bob)
        .collect();
    assert_eq!(of_bob, [says(&bob, "unavailable")]);
    world.engine.presence().act(&bob);
    world.say(room, &bob, "here").await;
    let back = world.since(&alice, &idle).await;
    assert!(told(&back).contains(&says(&bob, "online")));
}

#[tokio::test]
async fn what_a_user_says_stays_and_strangers_hear_nothing() {
    let (world, alice, bob) = pair().await;
    let carol = user("carol");
    let (first, alone) = (world.initial(&alice).await, world.initial(&carol).await);
    let message = Some("at lunch".to_owned());
    let presence = world.engine.presence();
    presence.set(&bob, &PresenceState::Unavailable, message);
    let second = world.since(&alice, &first).await;
    let event = value(&second.presence.events[0]);
    assert_eq!(event["content"]["presence"], "unavailable");
    assert_eq!(event["content"]["status_msg"], "at lunch");
    assert_eq!(told(&world.since(&carol, &alone).await), []);
    let status = presence.get(&bob).unwrap();
    assert_eq!(status.status_msg.as_deref(), Some("at lunch"));
}

#[tokio::test]
async fn the_word_of_another_server_counts_for_a_while() {
    let (mut world, alice, _) = pair().await;
    let room = *world.rooms.keys().next().unwrap();
    let eve = UserId::parse("@eve:elsewhere.test").unwrap();
    world.join(room, &eve).await;
    let first = world.initial(&alice).await;
    world.engine.presence().receive(
        &eve,
        RemotePresence {
            presence: PresenceState::Online,
            status_msg: None,
            last_active_ago: Duration::from_secs(5),
            currently_active: true,
        },
    );
    let second = world.since(&alice, &first).await;
    let event = value(&second.presence.events[0]);
    assert_eq!(event["sender"], eve.as_str());
    assert_eq!(event["content"]["last_active_ago"], 5_000);
    assert_eq!(event["content"]["currently_active"], true);
    world.clock.advance(31 * 60 * 1000);
    let status = world.engine.presence().get(&eve).unwrap();
    assert_eq!(status.presence, PresenceState::Offline);
}
