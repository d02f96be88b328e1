//! Ranges and many records at once.

use matryx_entity::{event::EventRow, key, room_no::RoomNo};
use matryx_surrealdb::{KeyRange, Plan};

use crate::{
    engine::{Engine, conformance},
    fixture::{alias, event, member, user},
};

conformance! {
    reads_a_range_in_order,
    reads_backfilled_and_live_events_as_one_range,
    keeps_prefixes_apart,
    reads_the_rest_of_a_prefix,
    gives_each_record_in_the_place_of_its_key,
}

async fn reads_a_range_in_order(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for pos in [300, 2, 1, 10, 255, 256, 9] {
        plan.create(&event(5, pos));
    }
    plan.create(&event(4, 2)).create(&event(6, 2));
    store.commit(plan).await.unwrap();
    let places = async |first, last| -> Vec<i64> {
        let rows = store.events(RoomNo(5), first, last).await.unwrap();
        rows.into_iter().map(|row| row.pos).collect()
    };
    assert_eq!(places(2, 256).await, [2, 9, 10, 255, 256]);
    assert_eq!(places(1, i64::MAX).await, [1, 2, 9, 10, 255, 256, 300]);
    assert_eq!(places(11, 254).await, [0; 0]);
    let until: Vec<EventRow> = store
        .range(KeyRange::until(&key![5, 2], &key![5, 10]))
        .await
        .unwrap();
    assert_eq!(
        until.into_iter().map(|row| row.pos).collect::<Vec<_>>(),
        [2, 9]
    );
}

async fn reads_backfilled_and_live_events_as_one_range(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for pos in [-300, -2, -1, 1, 2] {
        plan.create(&event(5, pos));
    }
    store.commit(plan).await.unwrap();
    let rows = store.events(RoomNo(5), -2, 1).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.pos).collect::<Vec<_>>(),
        [-2, -1, 1]
    );
    let all = store.events(RoomNo(5), i64::MIN, i64::MAX).await.unwrap();
    assert_eq!(
        all.iter().map(|row| row.pos).collect::<Vec<_>>(),
        [-300, -2, -1, 1, 2]
    );
}

async fn keeps_prefixes_apart(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for room in [1, 2] {
        for name in ["al", "alice", "alicf", "bob"] {
            plan.create(&member(
                name,
                room,
                matryx_entity::position::Position::default(),
            ));
        }
    }
    store.commit(plan).await.unwrap();
    let rows = store.memberships(&user("alice")).await.unwrap();
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.user.as_str(), row.room.0))
        .collect();
    assert_eq!(
        found,
        [("@alice:example.org", 1), ("@alice:example.org", 2)]
    );
}

async fn reads_the_rest_of_a_prefix(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for (room, pos) in [(1, 5), (2, 1), (2, 2), (2, 3), (3, 1)] {
        plan.create(&event(room, pos));
    }
    store.commit(plan).await.unwrap();
    let rows: Vec<EventRow> = store
        .range(KeyRange::rest_of_prefix(&key![2, 2]))
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| (row.room.0, row.pos))
            .collect::<Vec<_>>(),
        [(2, 2), (2, 3)]
    );
    let all: Vec<EventRow> = store.range(KeyRange::all()).await.unwrap();
    assert_eq!(all.len(), 5);
}

async fn gives_each_record_in_the_place_of_its_key(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for pos in 1..=3 {
        plan.create(&event(1, pos));
    }
    plan.create(&alias("b", 1)).create(&alias("a", 1));
    store.commit(plan).await.unwrap();
    let keys = [key![1, 3], key![1, 9], key![1, 1], key![1, 3]];
    let rows: Vec<Option<EventRow>> = store.get_many(&keys).await.unwrap();
    let places: Vec<_> = rows.into_iter().map(|row| row.map(|row| row.pos)).collect();
    assert_eq!(places, [Some(3), None, Some(1), Some(3)]);
}
