//! The server dies and comes back.

use std::time::Duration;

use futures_util::future::join_all;
use matryx_entity::room_no::RoomNo;
use matryx_surrealdb::{Store, StoreError};
use tokio::time::timeout;

use crate::{fixture::message, server::Server};

/// Long enough for a restart.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn says_unavailable_while_the_server_is_down_and_recovers() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.patience = Duration::from_millis(100);
    let store = Store::open(&config).await.unwrap();
    store.commit(message(1, 1)).await.unwrap();
    server.kill().await;
    let refused = store.commit(message(1, 2)).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    let unread = store.event_at(RoomNo(1), 1).await;
    assert!(
        matches!(unread, Err(StoreError::Unavailable { .. })),
        "{unread:?}"
    );
    server.restart().await;
    let mut pos = 3;
    let committed = timeout(LONG, async {
        loop {
            match store.commit(message(1, pos)).await {
                Ok(committed) => return committed,
                Err(StoreError::Unavailable { .. }) => pos += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    let at = committed.await.unwrap().last().unwrap();
    assert_eq!(
        store.event_at(RoomNo(1), pos).await.unwrap().unwrap().at,
        at
    );
    let log = store.log_range(1, 1, at.seq).await.unwrap();
    assert_eq!(log.len(), usize::try_from(at.seq).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_once_what_was_under_way_when_the_server_died() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.patience = LONG;
    let store = Store::open(&config).await.unwrap();
    for round in 0..5 {
        let plans = (1..=200).map(|nth| store.submit(message(1, round * 200 + nth)));
        let outcomes = join_all(plans);
        let crash = async {
            // Somewhere within the commits; it does not matter where.
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.kill().await;
            server.restart().await;
        };
        let (outcomes, ()) = tokio::join!(outcomes, crash);
        for outcome in outcomes {
            outcome.unwrap();
        }
    }
    let log = store.log_range(1, 1, 10_000).await.unwrap();
    let seqs: Vec<u64> = log.iter().map(|(at, _)| at.seq).collect();
    assert_eq!(seqs, (1..=1000).collect::<Vec<u64>>());
    assert_eq!(
        store.events(RoomNo(1), 1, 10_000).await.unwrap().len(),
        1000
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_query_comes_back_with_the_server() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.node = Some(2);
    config.patience = LONG;
    let writer = Store::open(&config).await.unwrap();
    config.node = Some(1);
    config.poll_interval = Duration::from_hours(1);
    let listener = Store::open(&config).await.unwrap();
    server.kill().await;
    server.restart().await;
    let mut watermarks = listener.watermarks();
    let at = writer.commit(message(1, 1)).await.unwrap().last().unwrap();
    let heard = watermarks.wait_for(|known| known.seq(2) >= at.seq);
    timeout(LONG, heard).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_number_belongs_to_who_took_it_last() {
    let server = Server::start().await;
    let first = Store::open(&server.config()).await.unwrap();
    first.commit(message(1, 1)).await.unwrap();
    let second = Store::open(&server.config()).await.unwrap();
    second.commit(message(1, 2)).await.unwrap();
    assert!(matches!(
        first.commit(message(1, 3)).await,
        Err(StoreError::Schema(_))
    ));
    second.commit(message(1, 3)).await.unwrap();
}
