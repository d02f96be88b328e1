//! Removed records: gone together with what is written beside them, whatever their keys.

use std::time::Duration;

use futures_util::future::join_all;
use matryx_entity::{
    event::{EventPointer, EventRow},
    key,
    log::LogEntry,
    member::Member,
    position::Position,
    room::{Alias, Room, RoomPointer},
    room_no::RoomNo,
    state::StateRow,
    stored::Stored,
};
use matryx_surrealdb::{Database, KeyRange, Plan, Store, StoreError};

use crate::{
    engine::{Engine, conformance},
    fixture::{alias, event, event_id, logged, member, message, pointer, room, room_pointer},
};

conformance! {
    removes_records_with_keys_of_every_kind,
    removes_rows_with_odd_characters_in_their_keys,
    a_collision_keeps_what_would_have_been_removed,
    removes_creates_and_replaces_in_one_plan,
    a_removal_alone_leaves_no_log_entry,
    removals_between_other_plans_are_all_carried_out,
    a_removed_record_can_be_made_again,
    leftovers_go_after_the_commit_and_only_then,
    an_index_forgets_what_is_removed,
    a_removal_is_heard_of_by_the_live_query,
}

async fn is_there<T: Stored>(store: &Store, record: &T) -> bool {
    store.get::<T>(&record.key()).await.unwrap().is_some()
}

async fn removes_records_with_keys_of_every_kind(engine: Engine) {
    let store = engine.open().await;
    let mut plan = message(5, 1);
    plan.create(&room(5)).create(&room_pointer(5));
    plan.create(&member("alice", 5, Position::default()));
    store.commit(plan).await.unwrap();
    store.commit(message(5, 2)).await.unwrap();
    let alice = member("alice", 5, Position::default()).key();
    store.remove::<Room>(&[key![5], key![6]]).await.unwrap();
    let pointers = [room_pointer(5).key()];
    store.remove::<RoomPointer>(&pointers).await.unwrap();
    store.remove::<EventRow>(&[key![5, 1]]).await.unwrap();
    let pointers = [pointer(5, 1).key()];
    store.remove::<EventPointer>(&pointers).await.unwrap();
    store.remove::<Member>(&[alice]).await.unwrap();
    assert!(!is_there(&store, &room(5)).await);
    assert!(!is_there(&store, &room_pointer(5)).await);
    assert!(!is_there(&store, &event(5, 1)).await);
    assert!(!is_there(&store, &pointer(5, 1)).await);
    assert!(!is_there(&store, &member("alice", 5, Position::default())).await);
    assert!(is_there(&store, &event(5, 2)).await);
    let rows: Vec<EventRow> = store.range(KeyRange::prefix(&key![5])).await.unwrap();
    assert_eq!(rows.len(), 1);
}

async fn removes_rows_with_odd_characters_in_their_keys(engine: Engine) {
    let store = engine.open().await;
    let odd = [
        "",
        "\0",
        "a\0b",
        "a\0",
        "`⟩⟨\\`",
        "'\"$x",
        "\u{10ffff}",
        "NONE",
        "1",
    ];
    let row = |text: &str| StateRow {
        room: RoomNo(3),
        kind: text.to_owned(),
        state_key: format!("{text}{text}"),
        event_id: event_id(3, 1),
        pos: 1,
        since: 0,
    };
    let mut plan = Plan::new();
    for text in odd {
        plan.create(&row(text));
    }
    store.commit(plan).await.unwrap();
    for (gone, text) in odd.iter().enumerate() {
        store.remove::<StateRow>(&[row(text).key()]).await.unwrap();
        assert!(!is_there(&store, &row(text)).await, "{text:?}");
        let left = store.state(RoomNo(3)).await.unwrap().len();
        assert_eq!(left, odd.len() - gone - 1, "{text:?}");
    }
}

async fn a_collision_keeps_what_would_have_been_removed(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    store.commit(message(1, 2)).await.unwrap();
    let mut plan = Plan::new();
    plan.delete::<EventRow>(&key![1, 1]).create(&event(1, 2));
    plan.log(logged(1, 3));
    let refused = store.commit(plan).await;
    assert!(
        matches!(&refused, Err(StoreError::Exists { table: "event", key }) if *key == key![1, 2]),
        "{refused:?}"
    );
    assert!(is_there(&store, &event(1, 1)).await);
    let next = store.commit(message(1, 3)).await.unwrap();
    assert_eq!(next.last().unwrap().seq, 3);
}

async fn removes_creates_and_replaces_in_one_plan(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    store.commit(message(1, 2)).await.unwrap();
    let mut plan = message(1, 3);
    let mut row = event(1, 2);
    row.soft_failed = true;
    plan.delete::<EventRow>(&key![1, 1]).put(&row);
    let at = store.commit(plan).await.unwrap().last().unwrap();
    let rows: Vec<EventRow> = store.range(KeyRange::prefix(&key![1])).await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.pos, row.soft_failed)).collect();
    assert_eq!(found, [(2, true), (3, false)]);
    let log = store.log_range(at.node, at.seq, at.seq).await.unwrap();
    assert_eq!(log.len(), 1);
}

async fn leftovers_go_after_the_commit_and_only_then(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    store.commit(message(1, 2)).await.unwrap();
    let mut refused = message(1, 2);
    refused.delete_after::<EventRow>(&key![1, 1]);
    store.commit(refused).await.unwrap_err();
    assert!(is_there(&store, &event(1, 1)).await);
    let mut plan = message(1, 3);
    plan.delete_after::<EventRow>(&key![1, 1]);
    plan.delete_after::<EventPointer>(&pointer(1, 1).key());
    store.commit(plan).await.unwrap();
    assert!(!is_there(&store, &event(1, 1)).await);
    assert!(!is_there(&store, &pointer(1, 1)).await);
    assert!(is_there(&store, &event(1, 2)).await);
    assert!(is_there(&store, &event(1, 3)).await);
}

async fn a_removal_alone_leaves_no_log_entry(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    let mut plan = Plan::new();
    plan.delete::<EventRow>(&key![1, 1]);
    assert!(store.commit(plan).await.unwrap().last().is_none());
    let mut plan = Plan::new();
    plan.delete::<EventPointer>(&pointer(1, 1).key())
        .create(&room(1));
    assert!(store.commit(plan).await.unwrap().last().is_none());
    assert!(is_there(&store, &room(1)).await);
    assert!(!is_there(&store, &pointer(1, 1)).await);
    let next = store.commit(message(1, 2)).await.unwrap();
    assert_eq!(next.last().unwrap().seq, 2);
}

async fn removals_between_other_plans_are_all_carried_out(engine: Engine) {
    let store = engine.open().await;
    for pos in 1..=50 {
        store.commit(message(1, pos)).await.unwrap();
    }
    let outcomes = (1..=50).flat_map(|pos| {
        let mut removal = Plan::new();
        removal.delete::<EventRow>(&key![1, pos]);
        removal.log(LogEntry::Redacted {
            room: RoomNo(1),
            pos,
        });
        [store.submit(removal), store.submit(message(2, pos))]
    });
    let outcomes = join_all(outcomes.collect::<Vec<_>>()).await;
    let seqs: Vec<u64> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().last().unwrap().seq)
        .collect();
    assert_eq!(seqs, (51..=150).collect::<Vec<u64>>());
    let left: Vec<EventRow> = store.range(KeyRange::prefix(&key![1])).await.unwrap();
    assert!(left.is_empty());
    let new: Vec<EventRow> = store.range(KeyRange::prefix(&key![2])).await.unwrap();
    assert_eq!(new.len(), 50);
}

async fn a_removed_record_can_be_made_again(engine: Engine) {
    let store = engine.open().await;
    for ts in 1..=5 {
        let mut row = event(1, 1);
        row.ts = ts;
        let mut plan = Plan::new();
        plan.create(&row);
        store.commit(plan).await.unwrap();
        let found: EventRow = store.get(&key![1, 1]).await.unwrap().unwrap();
        assert_eq!(found.ts, ts);
        store.remove::<EventRow>(&[key![1, 1]]).await.unwrap();
        assert!(!is_there(&store, &row).await);
    }
}

async fn an_index_forgets_what_is_removed(engine: Engine) {
    let store = engine.open().await;
    let mut plan = message(1, 1);
    plan.create(&alias("one", 1)).create(&alias("two", 1));
    store.commit(plan).await.unwrap();
    let mut plan = Plan::new();
    plan.delete::<Alias>(&alias("one", 1).key())
        .delete::<EventRow>(&key![1, 1]);
    store.commit(plan).await.unwrap();
    let left = store.aliases_of_room(RoomNo(1)).await.unwrap();
    let left: Vec<_> = left.iter().map(|alias| &alias.alias).collect();
    assert_eq!(left, [&alias("two", 1).alias]);
    assert!(!is_there(&store, &event(1, 1)).await);
    store
        .remove::<Alias>(&[alias("two", 1).key()])
        .await
        .unwrap();
    assert!(store.aliases_of_room(RoomNo(1)).await.unwrap().is_empty());
}

async fn a_removal_is_heard_of_by_the_live_query(engine: Engine) {
    let mut config = engine.config();
    config.poll_interval = Duration::from_hours(1);
    let database = Database::connect(&config).await.unwrap();
    let listener = Store::open_on(database.clone(), &config).await.unwrap();
    config.node = Some(2);
    let writer = Store::open_on(database, &config).await.unwrap();
    let mut watermarks = listener.watermarks();
    let mut heard = 0;
    // The first ones may be committed while the query is being registered.
    for pos in 1..=100 {
        let mut plan = message(1, pos);
        plan.delete::<EventRow>(&key![1, pos - 1]);
        let at = writer.commit(plan).await.unwrap().last().unwrap();
        let known = watermarks.wait_for(|known| known.seq(at.node) >= at.seq);
        let known = tokio::time::timeout(Duration::from_secs(1), known).await;
        heard += u32::from(known.is_ok());
        if heard == 10 {
            return;
        }
    }
    panic!("only {heard} removals were heard of");
}
