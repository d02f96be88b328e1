//! The log writer: order, atomicity, collisions, fences, hand-over.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use matryx_entity::{
    event::EventRow,
    key,
    log::LogEntry,
    position::Position,
    room::{Alias, Room},
    room_no::RoomNo,
};
use matryx_surrealdb::{CommittedBatch, Plan, StoreError};

use crate::{
    engine::{Engine, conformance},
    fixture::{alias, event, logged, message, pointer, room},
};

conformance! {
    a_collision_fails_the_plan_as_a_whole,
    one_failing_plan_does_not_fail_its_batch,
    a_record_created_twice_at_once_is_created_once,
    plans_built_on_a_failed_one_fail,
    a_new_epoch_lifts_the_fence,
    a_thousand_submits_come_out_in_order_without_a_gap,
    later_plans_of_a_batch_overwrite_earlier_ones,
    removing_and_creating_again_in_one_batch_works,
    hands_over_before_it_acknowledges,
    commits_a_plan_larger_than_a_batch,
    refuses_what_does_not_fit_the_queue,
    refuses_plans_after_it_was_closed,
    gives_out_room_numbers_once,
    keeps_the_newest_log_entries_only,
}

async fn a_collision_fails_the_plan_as_a_whole(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    let mut plan = Plan::new();
    let at = plan.log(logged(1, 1));
    plan.put(&room(9))
        .create_stamped(&event(1, 1), at)
        .create(&alias("new", 1));
    let error = store.commit(plan).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Exists { table: "event", key } if *key == key![1, 1]),
        "{error:?}"
    );
    assert!(store.get::<Room>(&key![9]).await.unwrap().is_none());
    assert!(
        store
            .get::<Alias>(&key!["#new:example.org"])
            .await
            .unwrap()
            .is_none()
    );
    let next = store.commit(message(1, 2)).await.unwrap();
    assert_eq!(next.last().unwrap().seq, 2);
}

async fn one_failing_plan_does_not_fail_its_batch(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 50)).await.unwrap();
    let outcomes = join_all((1..=100).map(|pos| store.submit(message(1, pos)))).await;
    let failed: Vec<usize> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, one)| one.is_err())
        .map(|(pos, _)| pos + 1)
        .collect();
    assert_eq!(failed, [50]);
    let seqs: Vec<u64> = outcomes
        .iter()
        .flatten()
        .filter_map(matryx_surrealdb::Committed::last)
        .map(|at| at.seq)
        .collect();
    assert_eq!(seqs, (2..=100).collect::<Vec<u64>>());
    assert_eq!(store.events(RoomNo(1), 1, 100).await.unwrap().len(), 100);
}

async fn a_record_created_twice_at_once_is_created_once(engine: Engine) {
    let store = engine.open().await;
    let plans = (0..20).map(|nth| {
        let mut plan = Plan::new();
        let mut row = event(1, 1);
        row.ts = nth;
        plan.create(&row);
        store.submit(plan)
    });
    let outcomes = join_all(plans).await;
    assert!(outcomes.first().unwrap().is_ok());
    let refused = outcomes
        .iter()
        .skip(1)
        .filter(|one| matches!(one, Err(StoreError::Exists { table: "event", .. })));
    assert_eq!(refused.count(), 19);
    assert_eq!(store.event_at(RoomNo(1), 1).await.unwrap().unwrap().ts, 0);
}

fn fenced(room: i64, pos: i64, epoch: u64) -> Plan {
    let mut plan = message(room, pos);
    plan.fence(RoomNo(room), epoch);
    plan
}

async fn plans_built_on_a_failed_one_fail(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 2)).await.unwrap();
    let plans = [
        fenced(1, 1, 1),
        fenced(1, 2, 1),
        fenced(1, 3, 1),
        fenced(2, 1, 1),
        fenced(1, 4, 1),
    ];
    let outcomes = join_all(plans.map(|plan| store.submit(plan))).await;
    let [first, second, third, other_room, fourth] = outcomes.as_slice() else {
        panic!("five plans, five outcomes");
    };
    assert!(first.is_ok());
    assert!(matches!(second, Err(StoreError::Exists { .. })));
    assert!(matches!(
        third,
        Err(StoreError::Conflict { room: RoomNo(1) })
    ));
    assert!(other_room.is_ok());
    assert!(matches!(
        fourth,
        Err(StoreError::Conflict { room: RoomNo(1) })
    ));
    assert_eq!(store.room_head(RoomNo(1), 0).await.unwrap(), 2);
    assert!(matches!(
        store.commit(fenced(1, 5, 1)).await,
        Err(StoreError::Conflict { room: RoomNo(1) })
    ));
}

async fn a_new_epoch_lifts_the_fence(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    store.commit(fenced(1, 1, 4)).await.unwrap_err();
    store.commit(fenced(1, 2, 3)).await.unwrap_err();
    store.commit(fenced(1, 2, 5)).await.unwrap();
    assert!(store.event_at(RoomNo(1), 2).await.unwrap().is_some());
}

async fn a_thousand_submits_come_out_in_order_without_a_gap(engine: Engine) {
    let store = engine.open().await;
    let handed_over = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&handed_over);
    store.on_committed(move |batch: &CommittedBatch| {
        heard
            .lock()
            .unwrap()
            .extend(batch.entries.iter().map(|entry| entry.at.seq));
    });
    let outcomes = join_all((1..=1000).map(|pos| store.submit(message(1, pos)))).await;
    for (outcome, seq) in outcomes.iter().zip(1..) {
        assert_eq!(outcome.as_ref().unwrap().last().unwrap().seq, seq);
    }
    assert_eq!(
        *handed_over.lock().unwrap(),
        (1..=1000).collect::<Vec<u64>>()
    );
    let log = store.log_range(store.node(), 1, 2000).await.unwrap();
    for ((at, entry), nth) in log.iter().zip(1..) {
        assert_eq!(
            *at,
            Position {
                node: store.node(),
                seq: nth
            }
        );
        assert_eq!(*entry, logged(1, i64::try_from(nth).unwrap()));
    }
    assert_eq!(log.len(), 1000);
    assert_eq!(store.watermarks().borrow().seq(store.node()), 1000);
    let rows: Vec<EventRow> = store.events(RoomNo(1), 1, 1000).await.unwrap();
    assert!(rows.iter().zip(1..).all(|(row, seq)| row.at.seq == seq));
}

async fn later_plans_of_a_batch_overwrite_earlier_ones(engine: Engine) {
    let store = engine.open().await;
    let plans = (1..=50).map(|nth| {
        let mut plan = Plan::new();
        let mut row = event(1, 1);
        row.ts = nth;
        if nth == 1 {
            plan.create(&row);
        } else {
            plan.put(&row);
        }
        store.submit(plan)
    });
    for outcome in join_all(plans).await {
        outcome.unwrap();
    }
    assert_eq!(store.event_at(RoomNo(1), 1).await.unwrap().unwrap().ts, 50);
}

async fn removing_and_creating_again_in_one_batch_works(engine: Engine) {
    let store = engine.open().await;
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        let mut make = Plan::new();
        make.create(&alias("a", 1));
        outcomes.push(store.submit(make));
        let mut remove = Plan::new();
        remove.delete::<Alias>(&key!["#a:example.org"]);
        outcomes.push(store.submit(remove));
    }
    for outcome in join_all(outcomes).await {
        outcome.unwrap();
    }
    assert!(
        store
            .get::<Alias>(&key!["#a:example.org"])
            .await
            .unwrap()
            .is_none()
    );
}

async fn hands_over_before_it_acknowledges(engine: Engine) {
    let store = engine.open().await;
    let seen: Arc<Mutex<Vec<(Position, String)>>> = Arc::default();
    let heard = Arc::clone(&seen);
    store.on_committed(move |batch| {
        for entry in &batch.entries {
            let attached = entry
                .attachment
                .as_ref()
                .unwrap()
                .downcast_ref::<String>()
                .unwrap();
            heard.lock().unwrap().push((entry.at, attached.clone()));
        }
    });
    for pos in 1..=20 {
        let mut plan = Plan::new();
        let at = plan.log_with(logged(1, pos), Arc::new(format!("event {pos}")));
        plan.create_stamped(&event(1, pos), at);
        let committed = store.commit(plan).await.unwrap();
        let last = seen.lock().unwrap().last().cloned();
        assert_eq!(last, Some((committed.at(at), format!("event {pos}"))));
    }
}

async fn commits_a_plan_larger_than_a_batch(engine: Engine) {
    let mut config = engine.config();
    config.batch_rows = 10;
    let store = matryx_surrealdb::Store::open(&config).await.unwrap();
    let mut plan = Plan::new();
    for pos in 1..=100 {
        let at = plan.log(logged(1, pos));
        plan.create_stamped(&event(1, pos), at)
            .create(&pointer(1, pos));
    }
    let outcomes = join_all([store.submit(plan), store.submit(message(1, 101))]).await;
    assert_eq!(
        outcomes
            .last()
            .unwrap()
            .as_ref()
            .unwrap()
            .last()
            .unwrap()
            .seq,
        101
    );
    assert_eq!(store.events(RoomNo(1), 1, 200).await.unwrap().len(), 101);
}

async fn refuses_what_does_not_fit_the_queue(engine: Engine) {
    let mut config = engine.config();
    config.queue_bytes = 4096;
    let store = matryx_surrealdb::Store::open(&config).await.unwrap();
    let outcomes = join_all((1..=200).map(|pos| store.submit(fenced(1, pos, 1)))).await;
    let accepted = outcomes.iter().take_while(|one| one.is_ok()).count();
    assert!(accepted < 200);
    assert!(outcomes.iter().skip(accepted).all(Result::is_err));
    assert!(matches!(
        outcomes.get(accepted),
        Some(Err(StoreError::Unavailable { .. }))
    ));
    let head = store.room_head(RoomNo(1), 0).await.unwrap();
    assert_eq!(head, i64::try_from(accepted).unwrap());
}

async fn refuses_plans_after_it_was_closed(engine: Engine) {
    let store = engine.open().await;
    let queued = store.submit(message(1, 1));
    store.close().await;
    queued.await.unwrap();
    assert!(matches!(
        store.commit(message(1, 2)).await,
        Err(StoreError::Unavailable { .. })
    ));
}

async fn gives_out_room_numbers_once(engine: Engine) {
    let store = engine.open().await;
    let mut numbers: Vec<RoomNo> = (0..1000).map(|_| store.next_room_no().unwrap()).collect();
    assert!(numbers.iter().all(|number| number.0 > 0));
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 1000);
}

async fn keeps_the_newest_log_entries_only(engine: Engine) {
    let store = engine.open().await;
    let outcomes = join_all((1..=2500).map(|pos| {
        let mut plan = Plan::new();
        plan.log(LogEntry::Redacted {
            room: RoomNo(1),
            pos,
        });
        store.submit(plan)
    }));
    assert!(outcomes.await.iter().all(Result::is_ok));
    assert_eq!(store.trim_log(10).await.unwrap(), 2490);
    assert_eq!(store.trim_log(10).await.unwrap(), 0);
    let left = store.log_range(store.node(), 1, 10_000).await.unwrap();
    let seqs: Vec<u64> = left.iter().map(|(at, _)| at.seq).collect();
    assert_eq!(seqs, (2491..=2500).collect::<Vec<u64>>());
    let next = store.commit(message(1, 1)).await.unwrap();
    assert_eq!(next.last().unwrap().seq, 2501);
}
