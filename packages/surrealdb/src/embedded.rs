//! The embedded engines: opened through the datastore's own builder, because that is the only
//! way to bound their memory.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use surrealdb::{Surreal, engine::local::Db};
use surrealdb_cnf::{ConfigMap, NOTIFICATIONS_CHANNEL_SIZE};
use surrealdb_core::{channel, kvs::Datastore};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    config::{Durability, StoreConfig},
    error::StoreError,
};

/// How long closing may take; a commit is durable without it.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How RocksDB says that this very process holds the lock on the files.
const HELD_HERE: &str = "lock hold by current process";

/// What the engine puts before each reason for not opening, though there is no transaction yet.
const NOT_YET: &str = "There was a problem with a transaction: ";

/// How much space there must be before an engine is opened that has failed for the lack of it.
const SPACE: usize = 4 << 20;

/// How often to look whether the last reference to the engine is gone.
const LOOK: Duration = Duration::from_millis(1);

/// Keeps an eye on the engine beneath the driver, to wait until it is closed.
#[derive(Clone)]
pub(crate) struct Handle(Weak<Datastore>);

impl Handle {
    /// The engine, unless it is closed.
    pub(crate) fn get(&self) -> Option<Arc<Datastore>> {
        self.0.upgrade()
    }

    /// Waits until the engine is shut down and has let go of its files.
    ///
    /// The driver does that by itself when its last handle is dropped; a second shutdown beside it
    /// would find the engine closed and complain.
    pub(crate) async fn closed(&self) {
        let closed = async {
            while self.0.strong_count() > 0 {
                sleep(LOOK).await;
            }
        };
        if timeout(SHUTDOWN, closed).await.is_err() {
            tracing::warn!("the database took too long to close");
        }
    }
}

/// Opens the engine that the URL names.
///
/// An engine that this process had open a moment ago may still be on its way out; another
/// process's lock is an error at once.
pub(crate) async fn open(config: &StoreConfig) -> Result<(Surreal<Db>, Handle), StoreError> {
    let deadline = Instant::now() + SHUTDOWN;
    loop {
        match try_open(config).await {
            Err(StoreError::Unavailable { reason })
                if reason.contains(HELD_HERE) && Instant::now() < deadline =>
            {
                sleep(LOOK).await;
            }
            result => return result,
        }
    }
}

/// Whether the disk takes as much as the engine needs to start.
pub(crate) fn check_space(config: &StoreConfig) -> Result<(), StoreError> {
    let Some(("rocksdb", folder)) = config.url.split_once("://") else {
        return Ok(());
    };
    let trial = Path::new(folder).with_added_extension("space");
    let written = File::create(&trial).and_then(|mut file| {
        file.write_all(&vec![1; SPACE])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&trial);
    written
        .and(removed)
        .map_err(|error| StoreError::Unavailable {
            reason: format!("cannot write beside {folder}: {error}").into(),
        })
}

async fn try_open(config: &StoreConfig) -> Result<(Surreal<Db>, Handle), StoreError> {
    let unavailable = |error: String| StoreError::Unavailable {
        reason: error.into(),
    };
    let (send, receive) = channel::bounded(NOTIFICATIONS_CHANNEL_SIZE);
    let datastore = Datastore::builder()
        .with_config(engine_config(config))
        .with_notify(send)
        .without_maintenance_tasks()
        .build_with_path(&config.url)
        .await
        .map_err(|error| {
            let reason = format!("{error:#}");
            unavailable(reason.trim_start_matches(NOT_YET).to_owned())
        })?;
    // The version is stamped before anything else writes: a maintenance task that came first
    // would make a new database look like one of an older version.
    datastore
        .check_version()
        .await
        .map_err(|error| unavailable(format!("{error:#}")))?;
    datastore
        .bootstrap()
        .await
        .map_err(|error| unavailable(format!("{error:#}")))?;
    datastore.start_maintenance_tasks();
    let db = Surreal::<Db>::unstable_from_datastore(Arc::clone(&datastore), Some(receive))
        .await
        .map_err(|error| unavailable(error.to_string()))?;
    Ok((db, Handle(Arc::downgrade(&datastore))))
}

fn engine_config(config: &StoreConfig) -> ConfigMap {
    let sync = match config.durability {
        Durability::Every => "every",
        Durability::Never => "never",
    };
    // A storage call runs on the worker that makes it while enough workers are left, and else on
    // the pool for blocking calls, at three times the cost. The engine's default sets two workers
    // aside, which on a small machine is all of them.
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    let reserve = (workers / 2).min(2);
    [
        ("datastore_sync", sync.to_owned()),
        (
            "rocksdb_block_cache_size",
            config.block_cache_bytes.to_string(),
        ),
        (
            "rocksdb_write_buffer_size",
            config.write_buffer_bytes.to_string(),
        ),
        (
            "rocksdb_max_write_buffer_number",
            config.write_buffers.to_string(),
        ),
        ("rocksdb_grouped_commit_timeout", "1000000".to_owned()),
        ("rocksdb_shutdown_wait_for_compact_seconds", "1".to_owned()),
        ("runtime_worker_threads", workers.to_string()),
        ("rocksdb_runtime_reserve", reserve.to_string()),
    ]
    .into_iter()
    .fold(ConfigMap::empty(), |map, (key, value)| {
        map.with_key_value(key, value)
    })
}
