//! Long polls: what wakes them and what does not.

use std::time::Duration;

use futures_util::FutureExt;
use matryx_client::sync::{SyncEngine, SyncError, SyncRequest};
use ruma::{
    UserId, api::client::sync::sync_events::v3::Response, events::room::member::MembershipState,
};
use serde_json::json;

use crate::{
    response::joined,
    world::{World, request, user},
};

/// A long poll in the background.
struct Poll(tokio::task::JoinSet<Result<Response, SyncError>>);

impl Poll {
    async fn start(world: &World, user: &UserId, since: &Response, timeout: Duration) -> Self {
        let request = request(user, Some(since), |request| request.timeout = timeout);
        let before = world.engine.status().waiters;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(poll(world.engine.clone(), request));
        while world.engine.status().waiters == before {
            tokio::task::yield_now().await;
        }
        // Lets it come to rest: nothing is there to be found.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        Self(tasks)
    }

    async fn answer(&mut self) -> Response {
        self.0.join_next().await.unwrap().unwrap().unwrap()
    }

    fn sleeps(&mut self) -> bool {
        self.0.join_next().now_or_never().is_none()
    }
}

async fn poll(engine: SyncEngine, request: SyncRequest) -> Result<Response, SyncError> {
    engine.sync(&request).await
}

const LONG: Duration = Duration::from_mins(2);

#[tokio::test]
async fn an_event_wakes_the_joined_and_nobody_else() {
    let (alice, bob, carol) = (user("alice"), user("bob"), user("carol"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let (bobs, carols) = (world.initial(&bob).await, world.initial(&carol).await);
    let mut waits = Poll::start(&world, &bob, &bobs, LONG).await;
    let mut sleeps = Poll::start(&world, &carol, &carols, LONG).await;
    world.say(room, &alice, "x").await;
    let response = waits.answer().await;
    assert_eq!(joined(&world, &response, room).timeline.events.len(), 1);
    assert!(sleeps.sleeps());
    assert_eq!(world.engine.status().waiters, 1);
}

#[tokio::test]
async fn invites_account_data_receipts_and_typing_wake() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let other = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let said = world.say(room, &alice, "x").await;
    let mut last = world.initial(&bob).await;
    for step in 0..4 {
        let mut poll = Poll::start(&world, &bob, &last, LONG).await;
        match step {
            0 => {
                let invite = MembershipState::Invite;
                world.membership(other, &alice, &bob, invite).await;
            }
            1 => world.set_account_data(&bob, None, "a", json!({})).await,
            2 => world.read(room, &alice, "m.read", None, &said).await,
            _ => {
                let now = matryx_entity::clock::Clock::now(&*world.clock);
                let until = ruma::MilliSecondsSinceUnixEpoch(now.get() + ruma::uint!(1000));
                world.engine.typing().set(room, &alice, Some(until));
            }
        }
        last = poll.answer().await;
        assert!(!last.rooms.is_empty() || !last.account_data.is_empty());
    }
}

#[tokio::test]
async fn the_timeout_ends_the_wait() {
    let alice = user("alice");
    let world = World::new().await;
    let first = world.initial(&alice).await;
    let mut poll = Poll::start(&world, &alice, &first, Duration::from_millis(20)).await;
    let response = poll.answer().await;
    assert!(response.rooms.is_empty());
    assert_eq!(world.engine.status().waiters, 0);
}

#[tokio::test]
async fn the_end_of_the_server_ends_the_wait() {
    let alice = user("alice");
    let world = World::new().await;
    let first = world.initial(&alice).await;
    let mut poll = Poll::start(&world, &alice, &first, LONG).await;
    world.engine.stop_waiting();
    assert!(poll.answer().await.rooms.is_empty());
}

#[tokio::test]
async fn a_poll_that_is_dropped_leaves_no_waiter() {
    let alice = user("alice");
    let world = World::new().await;
    let first = world.initial(&alice).await;
    let poll = Poll::start(&world, &alice, &first, LONG).await;
    assert_eq!(world.engine.status().waiters, 1);
    drop(poll);
    while world.engine.status().waiters > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn typing_past_its_deadline_wakes() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    world.join(room, &bob).await;
    let now = matryx_entity::clock::Clock::now(&*world.clock);
    let until = ruma::MilliSecondsSinceUnixEpoch(now.get() + ruma::uint!(5));
    world.engine.typing().set(room, &alice, Some(until));
    let seen = world.initial(&bob).await;
    let mut poll = Poll::start(&world, &bob, &seen, LONG).await;
    world.clock.advance(6);
    poll.answer().await;
    assert!(world.engine.typing().list(room).is_empty());
}

#[tokio::test]
async fn a_message_wakes_the_devices_of_its_user_and_nobody_else() {
    let (bob, carol) = (user("bob"), user("carol"));
    let world = World::new().await;
    let (bobs, carols) = (world.initial(&bob).await, world.initial(&carol).await);
    let mut waits = Poll::start(&world, &bob, &bobs, LONG).await;
    let mut sleeps = Poll::start(&world, &carol, &carols, LONG).await;
    world.send_to_device(&bob, &["DEVICE"], "x").await;
    let answer = waits.answer().await;
    assert_eq!(answer.to_device.events.len(), 1);
    assert!(sleeps.sleeps());
    // What is for another device of the user is no news.
    let mut waits = Poll::start(&world, &bob, &answer, LONG).await;
    world.send_to_device(&bob, &["OTHER"], "x").await;
    world.set_one_time_key(&bob, "OTHER", "1", true).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(waits.sleeps());
    world.set_one_time_key(&bob, "DEVICE", "1", true).await;
    let answer = waits.answer().await;
    let counts = &answer.device_one_time_keys_count;
    assert_eq!(counts[&"signed_curve25519".into()], ruma::uint!(1));
    assert!(sleeps.sleeps());
}
