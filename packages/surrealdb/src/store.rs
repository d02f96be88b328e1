//! The store: what the rest of the program sees of the database.

use std::{future::Future, sync::Arc};

use matryx_entity::{
    log::LogEntry,
    position::{NodeNo, Position},
    room_no::RoomNo,
    stored::{Key, Stored},
};
use tokio::sync::watch;

use crate::{
    config::StoreConfig,
    error::StoreError,
    plan::{Committed, CommittedBatch, Plan},
    range::KeyRange,
    watermarks::Watermarks,
};

/// An open database with its log writer. Cheap to clone; the last clone that is dropped stops the
/// writer and closes the database in the background, [`Store::close`] does so and waits.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    watermarks: watch::Sender<Watermarks>,
}

fn absent() -> StoreError {
    StoreError::Unavailable {
        reason: "closed".into(),
    }
}

impl Store {
    /// Opens a database: connects, brings a fresh one to the schema of this program, takes a node
    /// number and starts the log writer and the doorbell.
    ///
    /// # Errors
    /// The database cannot be opened, or its schema is not the one of this program.
    pub async fn open(_config: &StoreConfig) -> Result<Self, StoreError> {
        Err(absent())
    }

    /// Commits what is queued, stops the writer and closes the database.
    pub async fn close(&self) {}

    /// The number of this process, which owns the log that it writes.
    pub fn node(&self) -> NodeNo {
        1
    }

    /// A room number that nobody else has. No I/O.
    ///
    /// # Errors
    /// This process has used up its 33 million numbers; the next start has new ones.
    pub fn next_room_no(&self) -> Result<RoomNo, StoreError> {
        Err(absent())
    }

    /// Commits a plan: returns when it is durable, and after the hand-over of
    /// [`Store::on_committed`].
    ///
    /// # Errors
    /// See [`StoreError`]; on any but [`StoreError::Unavailable`] nothing is written.
    pub async fn commit(&self, plan: Plan) -> Result<Committed, StoreError> {
        self.submit(plan).await
    }

    /// Queues a plan at once, in the order of the calls, and resolves when it is committed.
    /// Dropping the future does not take the plan back.
    pub fn submit(
        &self,
        plan: Plan,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send + use<> {
        drop(plan);
        async { Err(absent()) }
    }

    /// Calls `consumer` with every batch that this process commits: in order, without a gap,
    /// before the commit is acknowledged. It runs on the log writer and must not block.
    pub fn on_committed(&self, consumer: impl Fn(&CommittedBatch) + Send + Sync + 'static) {
        drop(consumer);
    }

    /// How far every node's log is known to have come, and a wake-up when it moves.
    pub fn watermarks(&self) -> watch::Receiver<Watermarks> {
        self.inner.watermarks.subscribe()
    }

    /// Entries `from..=to` of a node's log, in order: one query. Entries below the log's horizon
    /// are missing at the start; none is ever missing in between.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn log_range(
        &self,
        _node: NodeNo,
        _from: u64,
        _to: u64,
    ) -> Result<Vec<(Position, LogEntry)>, StoreError> {
        Err(absent())
    }

    /// One record: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn get<T: Stored>(&self, _key: &Key) -> Result<Option<T>, StoreError> {
        Err(absent())
    }

    /// Several records, each in the place of its key: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn get_many<T: Stored>(&self, _keys: &[Key]) -> Result<Vec<Option<T>>, StoreError> {
        Err(absent())
    }

    /// All records of a range of keys, in order: one query, whose cost is that of the whole
    /// range.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn range<T: Stored>(&self, _range: KeyRange) -> Result<Vec<T>, StoreError> {
        Err(absent())
    }
}
