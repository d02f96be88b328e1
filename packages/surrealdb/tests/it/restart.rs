//! What survives a restart, on the engines that keep anything.

use std::time::Duration;

use tokio::time::Instant;

use matryx_entity::{key, room_no::RoomNo};
use matryx_surrealdb::{Store, StoreError};

use crate::{engine::Engine, fixture::message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goes_on_where_it_stopped() {
    let engine = Engine::rocksdb();
    let store = engine.open().await;
    let old_room = store.next_room_no().unwrap();
    for pos in 1..=3 {
        store.commit(message(1, pos)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.watermarks().borrow().seq(1), 3);
    assert_eq!(store.events(RoomNo(1), 1, 10).await.unwrap().len(), 3);
    assert_eq!(
        store
            .commit(message(1, 4))
            .await
            .unwrap()
            .last()
            .unwrap()
            .seq,
        4
    );
    assert_ne!(store.next_room_no().unwrap(), old_room);
    assert!(matches!(
        store.commit(message(1, 4)).await,
        Err(StoreError::Exists { key, .. }) if key == key![1, 4]
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_again_after_the_last_handle_was_dropped() {
    let engine = Engine::rocksdb();
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    drop(store);
    // The database closes in the background: its files stay locked for a moment.
    let deadline = Instant::now() + Duration::from_secs(20);
    let store = loop {
        match Store::open(&engine.config()).await {
            Ok(store) => break store,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(store.watermarks().borrow().seq(1), 1);
}
