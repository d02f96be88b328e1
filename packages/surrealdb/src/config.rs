//! What the store needs to know to open a database, and its bounds.
//!
//! Every cache and queue below has a bound here, so that the memory of a process follows from its
//! configuration and not from its load.

use std::{fmt, time::Duration};

use matryx_entity::position::NodeNo;

/// How far a commit has gone when it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the disk: survives a crash of the machine. The default.
    #[default]
    Every,
    /// Handed to the operating system, flushed in the background: a crash of the machine loses
    /// the last moments, a crash of the process nothing.
    Never,
}

/// Where the database is and how much the store may use.
#[derive(Clone)]
pub struct StoreConfig {
    /// `mem://`, `rocksdb://PATH`, `ws://HOST:PORT`, `wss://HOST:PORT` or `tikv://HOST:PORT`.
    pub url: String,
    /// The namespace.
    pub namespace: String,
    /// The database within the namespace.
    pub database: String,
    /// Root, namespace or database user of a remote database.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<String>,
    /// Durability of the embedded engine; a remote server has its own setting.
    pub durability: Durability,
    /// RocksDB's cache of uncompressed blocks.
    pub block_cache_bytes: u64,
    /// One of RocksDB's write buffers.
    pub write_buffer_bytes: u64,
    /// How many write buffers there may be.
    pub write_buffers: u32,
    /// The number of this process; none takes number 1 when embedded and the next free number
    /// otherwise.
    pub node: Option<NodeNo>,
    /// How long the poll backstop of the doorbell waits between two reads.
    pub poll_interval: Duration,
    /// Whether one live query watches the doorbell. Off leaves the poll.
    pub live: bool,
    /// The most rows that one transaction of the log writer carries (one plan may carry more).
    pub batch_rows: usize,
    /// The most bytes that one transaction of the log writer carries (one plan may carry more).
    pub batch_bytes: usize,
    /// The most bytes of plans that may wait for the log writer; more is refused as unavailable.
    pub queue_bytes: usize,
    /// How long a commit is tried again while the database is away, before it fails as
    /// unavailable.
    pub patience: Duration,
    /// How many log entries are kept per node.
    pub log_retention: u64,
}

impl StoreConfig {
    /// The defaults for a database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: "matryx".to_owned(),
            database: "matryx".to_owned(),
            username: None,
            password: None,
            durability: Durability::Every,
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 16 << 20,
            write_buffers: 2,
            node: None,
            poll_interval: Duration::from_millis(250),
            live: true,
            batch_rows: 512,
            batch_bytes: 1 << 20,
            queue_bytes: 64 << 20,
            patience: Duration::from_secs(5),
            log_retention: 200_000,
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
