//! Messages to devices, and the keys that devices have left.

use matryx_client::sync::FollowerMode;
use matryx_entity::{
    log::{ClientTransaction, LogEntry},
    position::Position,
    to_device::ToDeviceMessage,
    token::SyncToken,
};
use matryx_surrealdb::{KeyRange, Plan, Store, StoreConfig};
use ruma::{UserId, api::client::sync::sync_events::v3::Response, uint};
use serde_json::json;

use crate::{
    follower::{collect, settled},
    response::value,
    world::{World, options, user},
};

/// The device that [`World::ask`] asks from.
const DEVICE: &str = "DEVICE";

fn texts(response: &Response) -> Vec<String> {
    let events = response.to_device.events.iter().map(value);
    events
        .map(|event| event["content"]["text"].as_str().unwrap().to_owned())
        .collect()
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn send(world: &World, to: &UserId, range: std::ops::RangeInclusive<u32>) {
    for text in numbers(range) {
        world.send_to_device(to, &[DEVICE], &text).await;
    }
}

/// The messages that wait in the database.
async fn stored(world: &World, user: &UserId, device: &str) -> usize {
    let prefix = ToDeviceMessage::prefix(user, device.into());
    let rows = world
        .store
        .range::<ToDeviceMessage>(KeyRange::prefix(&prefix));
    rows.await.unwrap().len()
}

#[tokio::test]
async fn a_message_reaches_its_device_and_no_other() {
    let (alice, bob) = (user("alice"), user("bob"));
    let world = World::new().await;
    let first = world.initial(&bob).await;
    world.send_to_device(&bob, &[DEVICE, "OTHER"], "both").await;
    world.send_to_device(&bob, &["OTHER"], "other").await;
    let response = world.since(&bob, &first).await;
    assert_eq!(
        response
            .to_device
            .events
            .iter()
            .map(value)
            .collect::<Vec<_>>(),
        [json!({
            "type": "m.test",
            "sender": user("sender"),
            "content": { "text": "both" },
        })]
    );
    let other = world
        .ask(&bob, None, |request| {
            request.device_id = Some("OTHER".into());
        })
        .await;
    assert_eq!(texts(&other), ["both", "other"]);
    let none = world
        .ask(&bob, None, |request| request.device_id = None)
        .await;
    assert!(none.to_device.is_empty());
    assert!(none.device_one_time_keys_count.is_empty());
    assert_eq!(none.device_unused_fallback_key_types, None);
    assert!(world.initial(&alice).await.to_device.is_empty());
}

#[tokio::test]
async fn many_messages_come_in_order_a_hundred_at_a_time() {
    let bob = user("bob");
    for restarts in [false, true] {
        let mut world = World::new().await;
        let first = world.initial(&bob).await;
        send(&world, &bob, 1..=250).await;
        let mut all = Vec::new();
        let mut last = first;
        for count in [100, 100, 50, 0] {
            if restarts {
                world.restart(FollowerMode::Both).await;
            }
            let next = world.since(&bob, &last).await;
            // Whoever asks again gets the same again.
            let again = world.since(&bob, &last).await;
            assert_eq!(
                (texts(&next), &next.next_batch),
                (texts(&again), &again.next_batch)
            );
            assert_eq!(texts(&next).len(), count);
            all.extend(texts(&next));
            last = next;
        }
        assert_eq!(all, numbers(1..=250));
        assert_eq!(stored(&world, &bob, DEVICE).await, 0);
    }
}

#[tokio::test]
async fn more_than_are_kept_in_memory_come_all_the_same() {
    let bob = user("bob");
    let mut world = World::new().await;
    let first = world.initial(&bob).await;
    send(&world, &bob, 1..=700).await;
    world.restart(FollowerMode::Both).await;
    let mut all = Vec::new();
    let mut last = first;
    for round in 0..10 {
        let next = world.since(&bob, &last).await;
        all.extend(texts(&next));
        last = next;
        if round < 3 {
            send(&world, &bob, 701 + 10 * round..=710 + 10 * round).await;
        }
    }
    assert_eq!(all, numbers(1..=730));
    assert_eq!(stored(&world, &bob, DEVICE).await, 0);
}

#[tokio::test]
async fn a_message_goes_when_the_next_token_covers_it_and_not_before() {
    let bob = user("bob");
    let mut world = World::new().await;
    let first = world.initial(&bob).await;
    send(&world, &bob, 1..=150).await;
    let second = world.since(&bob, &first).await;
    assert_eq!(stored(&world, &bob, DEVICE).await, 150);
    let third = world.since(&bob, &second).await;
    assert_eq!(stored(&world, &bob, DEVICE).await, 50);
    // An older token brings nothing back, neither now nor after a restart.
    let replayed = world.since(&bob, &first).await;
    assert_eq!(texts(&replayed), numbers(101..=150));
    world.restart(FollowerMode::Both).await;
    let replayed = world.since(&bob, &first).await;
    assert_eq!(texts(&replayed), numbers(101..=150));
    // And it takes nothing away that the newest one did not cover.
    assert_eq!(stored(&world, &bob, DEVICE).await, 50);
    let fourth = world.since(&bob, &third).await;
    assert!(fourth.to_device.is_empty());
    assert_eq!(stored(&world, &bob, DEVICE).await, 0);
    assert!(world.initial(&bob).await.to_device.is_empty());
}

#[tokio::test]
async fn the_token_says_something_of_messages_only_while_some_wait() {
    let bob = user("bob");
    let world = World::new().await;
    let first = world.initial(&bob).await;
    send(&world, &bob, 1..=101).await;
    let plain = |response: &Response| {
        let token: SyncToken = response.next_batch.parse().unwrap();
        token.clone().with_messages(token.positions()) == token
    };
    let second = world.since(&bob, &first).await;
    assert!(!plain(&second));
    assert!(second.next_batch.len() < 40, "{}", second.next_batch);
    let third = world.since(&bob, &second).await;
    assert_eq!(texts(&third), ["101"]);
    assert!(plain(&third));
}

/// Messages and keys between syncs; what is seen, and that it is seen once.
async fn story(world: &mut World) {
    let bob = user("bob");
    settled(world).await;
    let mut last = world.initial(&bob).await;
    assert_eq!(
        last.device_one_time_keys_count[&"signed_curve25519".into()],
        uint!(0)
    );
    assert_eq!(last.device_unused_fallback_key_types, Some(Vec::new()));
    for round in 1..=5 {
        send(world, &bob, 2 * round - 1..=2 * round).await;
        world
            .set_one_time_key(&bob, DEVICE, &round.to_string(), true)
            .await;
        world.set_fallback_key(&bob, DEVICE, round % 2 == 0).await;
        settled(world).await;
        let next = world.since(&bob, &last).await;
        assert_eq!(texts(&next), numbers(2 * round - 1..=2 * round));
        let count = next.device_one_time_keys_count[&"signed_curve25519".into()];
        assert_eq!(count, round.into());
        let unused = next.device_unused_fallback_key_types.clone().unwrap();
        assert_eq!(unused.len(), usize::try_from(round % 2).unwrap());
        last = next;
    }
    world.set_one_time_key(&bob, DEVICE, "1", false).await;
    settled(world).await;
    let next = world.since(&bob, &last).await;
    assert!(next.to_device.is_empty());
    assert_eq!(
        next.device_one_time_keys_count[&"signed_curve25519".into()],
        uint!(4)
    );
    assert_eq!(stored(world, &bob, DEVICE).await, 0);
}

#[tokio::test]
async fn either_way_of_learning_of_commits_suffices() {
    for mode in [
        FollowerMode::Both,
        FollowerMode::HandOver,
        FollowerMode::Log,
    ] {
        for attach in [true, false] {
            let mut world = World::with(mode).await;
            world.attach = attach;
            story(&mut world).await;
        }
    }
}

#[tokio::test]
async fn memory_for_one_device_at_a_time_is_enough() {
    let mut options = options(FollowerMode::Both);
    options.inbox_bytes = 1;
    options.key_stock_bytes = 1;
    let store = Store::open(&StoreConfig::new("mem://")).await.unwrap();
    let mut world = World::on(store, options).await;
    story(&mut world).await;
    for cache in world.engine.status().caches {
        if ["inboxes", "key_stocks"].contains(&cache.name) {
            assert!(cache.entries <= 1, "{cache:?}");
        }
    }
}

#[tokio::test]
async fn lost_doubled_and_reordered_batches_lose_and_repeat_no_message() {
    let bob = user("bob");
    // The log path is the safety net; batches arrive by hand only.
    let world = World::with(FollowerMode::Log).await;
    let batches = collect(&world);
    let mut last = world.initial(&bob).await;
    let mut all = Vec::new();
    for round in 1..=60 {
        send(&world, &bob, round..=round).await;
        if round % 3 == 0 {
            let mut taken = std::mem::take(&mut *batches.lock().unwrap());
            // Out of order, twice, and some not at all.
            taken.reverse();
            for batch in taken
                .iter()
                .chain(&taken)
                .skip(usize::try_from(round % 2).unwrap())
            {
                world.engine.apply(batch);
            }
        }
        if round % 4 == 0 {
            let next = world.since(&bob, &last).await;
            all.extend(texts(&next));
            last = next;
        }
    }
    settled(&world).await;
    all.extend(texts(&world.since(&bob, &last).await));
    assert_eq!(all, numbers(1..=60));
}

#[tokio::test]
async fn what_another_process_writes_comes_with_it_and_its_tokens_are_good_here() {
    let bob = user("bob");
    let mut config = StoreConfig::new("mem://");
    config.node = Some(2);
    config.poll_interval = std::time::Duration::from_millis(5);
    let database = matryx_surrealdb::Database::connect(&config).await.unwrap();
    let here = Store::open_on(database.clone(), &config).await.unwrap();
    config.node = Some(1);
    let there = Store::open_on(database, &config).await.unwrap();
    let here = World::on(here, options(FollowerMode::Both)).await;
    let there = World::on(there, options(FollowerMode::Both)).await;
    let first = here.initial(&bob).await;
    send(&here, &bob, 101..=160).await;
    send(&there, &bob, 1..=80).await;
    for (reader, writer) in [(&here, &there), (&there, &here)] {
        let goal = writer.engine.now();
        while !goal.positions().all(|at| reader.engine.now().covers(at)) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    let second = here.since(&bob, &first).await;
    assert_eq!(
        texts(&second),
        [numbers(1..=80), numbers(101..=120)].concat()
    );
    let third = there.since(&bob, &second).await;
    assert_eq!(texts(&third), numbers(121..=160));
    assert!(here.since(&bob, &third).await.to_device.is_empty());
    assert!(there.since(&bob, &third).await.to_device.is_empty());
    assert_eq!(stored(&here, &bob, DEVICE).await, 0);
}

#[tokio::test]
async fn a_device_that_is_gone_leaves_nothing_in_memory() {
    let bob = user("bob");
    for device in [Some(DEVICE.into()), None] {
        let world = World::new().await;
        let first = world.initial(&bob).await;
        send(&world, &bob, 1..=2).await;
        world.set_one_time_key(&bob, DEVICE, "1", true).await;
        let second = world.since(&bob, &first).await;
        assert_eq!(texts(&second), ["1", "2"]);
        let rows = world
            .store
            .range::<ToDeviceMessage>(KeyRange::all())
            .await
            .unwrap();
        let mut plan = Plan::new();
        for row in &rows {
            let key = ToDeviceMessage::prefix(&bob, DEVICE.into()).at(row.at);
            plan.delete::<ToDeviceMessage>(&key);
        }
        plan.log(LogEntry::Revoked {
            user: bob.clone(),
            device,
        });
        world.store.commit(plan).await.unwrap();
        assert!(world.since(&bob, &first).await.to_device.is_empty());
    }
}

#[tokio::test]
async fn a_request_that_was_carried_out_is_remembered_also_after_a_restart() {
    let mut world = World::new().await;
    let txn = ClientTransaction {
        user: user("alice"),
        device: DEVICE.into(),
        txn_id: "t1".into(),
        scope: "sendToDevice m.test".to_owned(),
    };
    assert!(!world.engine.was_carried_out(&txn));
    let mut plan = Plan::new();
    plan.log(LogEntry::SentToDevice { txn: txn.clone() });
    let at = world.store.commit(plan).await.unwrap().last().unwrap();
    assert_eq!(at, Position::from((world.store.node(), at.seq)));
    for _ in 0..2 {
        assert!(world.engine.was_carried_out(&txn));
        let mut other = txn.clone();
        other.scope.push('2');
        assert!(!world.engine.was_carried_out(&other));
        assert_eq!(world.engine.transaction(&txn), None);
        world.restart(FollowerMode::Both).await;
    }
}
