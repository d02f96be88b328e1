//! The doorbells: either alone suffices to hear of another process's commits.

use std::time::Duration;

use matryx_surrealdb::{Database, Store, StoreConfig};

use crate::{
    engine::{Engine, conformance},
    fixture::message,
};

conformance! {
    the_live_query_alone_suffices,
    the_poll_alone_suffices,
    knows_every_log_when_it_opens,
    two_processes_write_logs_of_their_own,
}

/// Long enough to mean "never" to a test that succeeds.
const NEVER: Duration = Duration::from_hours(1);

async fn two_stores(engine: &Engine, listener: StoreConfig) -> (Store, Store) {
    let mut config = engine.config();
    let database = Database::connect(&config).await.unwrap();
    config.node = Some(2);
    let writer = Store::open_on(database.clone(), &config).await.unwrap();
    let listener = Store::open_on(database, &listener).await.unwrap();
    (writer, listener)
}

/// What is committed at the very moment at which a live query is registered can be missed by it and
/// by the look that follows: for that there is the poll. Once it hears anything, it hears everything.
async fn starts_to_hear(writer: &Store, listener: &Store) {
    let mut watermarks = listener.watermarks();
    for pos in 1..=100 {
        let committed = writer.commit(message(2, pos)).await.unwrap();
        let at = committed.last().unwrap();
        let heard = watermarks.wait_for(|known| known.seq(at.node) >= at.seq);
        if tokio::time::timeout(Duration::from_secs(1), heard)
            .await
            .is_ok()
        {
            return;
        }
    }
    panic!("the live query is never heard");
}

async fn hears(writer: &Store, listener: &Store) {
    let mut watermarks = listener.watermarks();
    for pos in 1..=20 {
        let at = writer
            .commit(message(1, pos))
            .await
            .unwrap()
            .last()
            .unwrap();
        let heard = watermarks.wait_for(|known| known.seq(at.node) >= at.seq);
        tokio::time::timeout(Duration::from_secs(20), heard)
            .await
            .unwrap()
            .unwrap();
        let log = listener.log_range(at.node, at.seq, at.seq).await.unwrap();
        assert_eq!(log.len(), 1);
    }
}

async fn the_live_query_alone_suffices(engine: Engine) {
    let mut config = engine.config();
    config.poll_interval = NEVER;
    let (writer, listener) = two_stores(&engine, config).await;
    starts_to_hear(&writer, &listener).await;
    hears(&writer, &listener).await;
}

async fn the_poll_alone_suffices(engine: Engine) {
    let mut config = engine.config();
    config.live = false;
    config.poll_interval = Duration::from_millis(5);
    let (writer, listener) = two_stores(&engine, config).await;
    hears(&writer, &listener).await;
}

async fn knows_every_log_when_it_opens(engine: Engine) {
    let mut config = engine.config();
    let database = Database::connect(&config).await.unwrap();
    config.node = Some(2);
    let writer = Store::open_on(database.clone(), &config).await.unwrap();
    writer.commit(message(1, 1)).await.unwrap();
    config.node = Some(1);
    let late = Store::open_on(database, &config).await.unwrap();
    assert_eq!(late.watermarks().borrow().seq(2), 1);
}

async fn two_processes_write_logs_of_their_own(engine: Engine) {
    let (second, first) = two_stores(&engine, engine.config()).await;
    for pos in 1..=10 {
        let one = first.commit(message(1, pos)).await.unwrap().last().unwrap();
        let two = second
            .commit(message(2, pos))
            .await
            .unwrap()
            .last()
            .unwrap();
        assert_eq!((one.node, two.node), (1, 2));
        assert_eq!(
            (one.seq, two.seq),
            (u64::try_from(pos).unwrap(), u64::try_from(pos).unwrap())
        );
    }
    assert_ne!(
        first.next_room_no().unwrap(),
        second.next_room_no().unwrap()
    );
    assert_eq!(first.log_range(2, 1, 100).await.unwrap().len(), 10);
}
