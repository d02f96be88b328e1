//! The repositories' own reads.

use std::collections::BTreeMap;

use matryx_entity::{
    room::PublishedRoom,
    room_no::RoomNo,
    state::{StateGroup, StateRow},
};
use matryx_surrealdb::Plan;

use crate::{
    engine::{Engine, conformance},
    fixture::{alias, event, event_id, message, pointer, room, room_id, room_pointer},
};

conformance! {
    finds_a_room_by_its_number_and_its_id,
    finds_the_head_of_a_room_from_any_hint,
    finds_events_by_their_ids,
    lists_current_state_by_type,
    folds_a_chain_of_state_groups,
    folds_a_chain_of_backfilled_state_groups,
    reads_some_slots_of_several_state_groups,
    does_not_fold_a_broken_chain,
    lists_aliases_and_published_rooms,
}

async fn finds_a_room_by_its_number_and_its_id(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&room(7)).create(&room_pointer(7));
    store.commit(plan).await.unwrap();
    assert_eq!(
        store.room(RoomNo(7)).await.unwrap().unwrap().room_id,
        room_id(7)
    );
    assert_eq!(
        store.room_by_id(&room_id(7)).await.unwrap().unwrap().no,
        RoomNo(7)
    );
    assert!(store.room_by_id(&room_id(8)).await.unwrap().is_none());
    assert!(store.room(RoomNo(8)).await.unwrap().is_none());
}

async fn finds_the_head_of_a_room_from_any_hint(engine: Engine) {
    let store = engine.open().await;
    let head = async |known| store.room_head(RoomNo(1), known).await.unwrap();
    assert_eq!(head(0).await, 0);
    let mut last = 0;
    for size in [1, 2, 3, 31, 32, 33, 64, 65, 700] {
        let mut plan = Plan::new();
        for pos in last + 1..=size {
            plan.create(&event(1, pos));
        }
        store.commit(plan).await.unwrap();
        last = size;
        for known in [0, 1, size / 2, size - 1, size] {
            assert_eq!(head(known).await, size, "from {known}");
        }
    }
}

async fn finds_events_by_their_ids(engine: Engine) {
    let store = engine.open().await;
    for pos in 1..=3 {
        store.commit(message(1, pos)).await.unwrap();
    }
    let ids = [
        event_id(1, 3),
        event_id(1, 9),
        event_id(1, 1),
        event_id(1, 3),
    ];
    let rows = store.events_by_id(&ids).await.unwrap();
    let places: Vec<_> = rows
        .iter()
        .map(|row| row.as_ref().map(|row| row.pos))
        .collect();
    assert_eq!(places, [Some(3), None, Some(1), Some(3)]);
    let pointers = store.event_places(&ids).await.unwrap();
    assert_eq!(pointers.iter().flatten().count(), 3);
    assert_eq!(
        store
            .event_by_id(&event_id(1, 2))
            .await
            .unwrap()
            .unwrap()
            .pos,
        2
    );
    assert!(store.event_by_id(&event_id(2, 2)).await.unwrap().is_none());
    assert!(
        store
            .events_by_id(&[event_id(5, 5)])
            .await
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
}

async fn lists_current_state_by_type(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for (kind, state_key) in [
        ("m.room.name", ""),
        ("m.room.member", "@b"),
        ("m.room.member", "@a"),
        ("m.room", "x"),
    ] {
        plan.create(&StateRow {
            room: RoomNo(1),
            kind: kind.to_owned(),
            state_key: state_key.to_owned(),
            event_id: event_id(1, 1),
            pos: 1,
            since: 1,
        });
    }
    store.commit(plan).await.unwrap();
    assert_eq!(store.state(RoomNo(1)).await.unwrap().len(), 4);
    let members = store
        .state_of_type(RoomNo(1), "m.room.member")
        .await
        .unwrap();
    assert_eq!(
        members
            .iter()
            .map(|row| row.state_key.as_str())
            .collect::<Vec<_>>(),
        ["@a", "@b"]
    );
    assert!(store.state(RoomNo(2)).await.unwrap().is_empty());
}

fn group(
    number: i64,
    prev: Option<i64>,
    base: i64,
    set: &[(&str, i64)],
    unset: &[&str],
) -> StateGroup {
    StateGroup {
        room: RoomNo(1),
        group: number,
        prev,
        base,
        length: 0,
        set: set
            .iter()
            .map(|(kind, pos)| ((*kind).to_owned(), String::new(), event_id(1, *pos)))
            .collect(),
        unset: unset
            .iter()
            .map(|kind| ((*kind).to_owned(), String::new()))
            .collect(),
    }
}

fn folded(slots: &[(&str, i64)]) -> BTreeMap<(String, String), ruma::OwnedEventId> {
    slots
        .iter()
        .map(|(kind, pos)| (((*kind).to_owned(), String::new()), event_id(1, *pos)))
        .collect()
}

async fn folds_a_chain_of_state_groups(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&group(2, None, 2, &[("a", 1), ("b", 1)], &[]))
        .create(&group(4, Some(2), 2, &[("a", 2)], &[]))
        .create(&group(6, Some(2), 2, &[("z", 3)], &[]))
        .create(&group(8, Some(4), 2, &[("c", 4)], &["b"]));
    store.commit(plan).await.unwrap();
    let state = async |number| store.state_of_group(RoomNo(1), number).await.unwrap();
    assert_eq!(state(2).await, Some(folded(&[("a", 1), ("b", 1)])));
    assert_eq!(state(4).await, Some(folded(&[("a", 2), ("b", 1)])));
    assert_eq!(
        state(6).await,
        Some(folded(&[("a", 1), ("b", 1), ("z", 3)]))
    );
    assert_eq!(state(8).await, Some(folded(&[("a", 2), ("c", 4)])));
    assert_eq!(state(10).await, None);
}

async fn reads_some_slots_of_several_state_groups(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&group(2, None, 2, &[("a", 1), ("b", 1)], &[]))
        .create(&group(4, Some(2), 2, &[("a", 2)], &[]))
        .create(&group(8, Some(4), 2, &[("c", 4)], &["a"]))
        .create(&group(10, None, 10, &[("a", 5)], &[]))
        .create(&group(-2, None, -2, &[("a", 6)], &[]))
        .create(&group(-4, Some(-2), -2, &[("b", 7)], &[]))
        .create(&group(12, Some(11), 11, &[], &[]));
    store.commit(plan).await.unwrap();
    let groups = [2, 4, 8, 10, -4, 12, 14];
    let only_a = |kind: &str, _: &str| kind == "a";
    let found = store.slots_of_groups(RoomNo(1), &groups, only_a).await;
    let found: BTreeMap<_, _> = found.unwrap().into_iter().collect();
    let expected = [
        (-4, folded(&[("a", 6)])),
        (2, folded(&[("a", 1)])),
        (4, folded(&[("a", 2)])),
        (8, folded(&[])),
        (10, folded(&[("a", 5)])),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    let none = store.slots_of_groups(RoomNo(1), &[], only_a).await.unwrap();
    assert!(none.is_empty());
}

async fn folds_a_chain_of_backfilled_state_groups(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&group(-2, None, -2, &[("a", 1)], &[]))
        .create(&group(-4, Some(-2), -2, &[("b", 2)], &[]));
    store.commit(plan).await.unwrap();
    let state = store.state_of_group(RoomNo(1), -4).await.unwrap();
    assert_eq!(state, Some(folded(&[("a", 1), ("b", 2)])));
}

async fn does_not_fold_a_broken_chain(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&group(4, Some(2), 2, &[("a", 2)], &[]))
        .create(&group(12, Some(14), 10, &[], &[]))
        .create(&group(14, Some(12), 10, &[], &[]));
    store.commit(plan).await.unwrap();
    assert_eq!(store.state_of_group(RoomNo(1), 4).await.unwrap(), None);
    assert_eq!(store.state_of_group(RoomNo(1), 14).await.unwrap(), None);
}

async fn lists_aliases_and_published_rooms(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&alias("one", 1))
        .create(&alias("two", 1))
        .create(&alias("other", 2));
    plan.create(&PublishedRoom {
        room: RoomNo(2),
        room_id: room_id(2),
    });
    plan.create(&pointer(1, 1));
    store.commit(plan).await.unwrap();
    let mut found: Vec<String> = store
        .aliases_of_room(RoomNo(1))
        .await
        .unwrap()
        .iter()
        .map(|alias| alias.alias.to_string())
        .collect();
    found.sort();
    assert_eq!(found, ["#one:example.org", "#two:example.org"]);
    assert_eq!(
        store
            .alias(&alias("other", 2).alias)
            .await
            .unwrap()
            .unwrap()
            .room,
        RoomNo(2)
    );
    assert!(store.is_published(RoomNo(2)).await.unwrap());
    assert!(!store.is_published(RoomNo(1)).await.unwrap());
    assert_eq!(store.published_rooms().await.unwrap().len(), 1);
}
