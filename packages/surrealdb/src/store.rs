//! The store: what the rest of the program sees of the database.

use std::{future::Future, sync::Arc};

use matryx_entity::{
    log::{LogEntry, LogRow},
    node::Bell,
    position::{NodeNo, Position},
    room_no::RoomNo,
    stored::{Key, Stored},
};
use surrealdb_types::{Array, Number, RecordIdKey, Value};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    codec,
    config::StoreConfig,
    database::{Database, read, variables},
    doorbell::{self, LiveDoorbell, PollDoorbell},
    error::StoreError,
    meter, migrate,
    node::Identity,
    plan::{Committed, CommittedBatch, Plan},
    queue::{Queue, closed},
    range::KeyRange,
    removal::RecordName,
    watermarks::Watermarks,
    writer::{Shared, Writer},
};

const GET: &str = "SELECT * FROM ONLY $id";

const GET_MANY: &str = "SELECT * FROM $ids";

const RANGE: &str = "SELECT * FROM $range";

const FIRST_OF_RANGE: &str = "SELECT * FROM $range LIMIT $limit";

/// An open database with its log writer. Cheap to clone; the last clone that is dropped stops the
/// writer and closes the database in the background, [`Store::close`] does so and waits.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    identity: Identity,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Ends the doorbells; the writer ends with its queue.
    stop: CancellationToken,
    log_retention: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.queue.close();
    }
}

impl Store {
    /// Opens a database: connects, brings a fresh one to the schema of this program, takes a node
    /// number and starts the log writer and the doorbells.
    ///
    /// # Errors
    /// The database cannot be opened, or its schema is not the one of this program.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        Self::open_on(Database::connect(config).await?, config).await
    }

    /// Like [`Store::open`], on a connection that exists. Several stores may share one, each
    /// with a node number of its own.
    ///
    /// # Errors
    /// The database is away, or its schema is not the one of this program.
    pub async fn open_on(database: Database, config: &StoreConfig) -> Result<Self, StoreError> {
        let schema = migrate::status(&database).await?;
        if schema.is_fresh() {
            migrate::up(&database).await?;
        } else if let Some(problem) = schema.problem() {
            return Err(StoreError::Schema(problem));
        }
        let (identity, bell) = Identity::take(&database, config).await?;
        let mut watermarks = Watermarks::default();
        for bell in doorbell::read_bells(&database).await? {
            watermarks.raise(bell.node, bell.seq);
        }
        let shared = Arc::new(Shared {
            queue: Queue::new(config),
            consumers: parking_lot::RwLock::default(),
            watermarks: watch::Sender::new(watermarks),
        });
        let inner = Inner {
            database,
            identity,
            shared,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            log_retention: config.log_retention,
        };
        inner.start(config, bell);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Commits what is queued, stops the writer and closes the database.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        self.inner.shared.queue.close();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.database.close().await;
    }

    /// The number of this process, which owns the log that it writes.
    pub fn node(&self) -> NodeNo {
        self.inner.identity.node
    }

    /// A room number that nobody else has. No I/O.
    ///
    /// # Errors
    /// This process has used up its 33 million numbers; the next start has new ones.
    pub fn next_room_no(&self) -> Result<RoomNo, StoreError> {
        self.inner.identity.next_room_no()
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
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn submit(
        &self,
        mut plan: Plan,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send + use<> {
        let started = Instant::now();
        let leftovers = std::mem::take(&mut plan.leftovers);
        let sweeper = (!leftovers.is_empty()).then(|| self.clone());
        let (ack, outcome) = oneshot::channel();
        self.inner.shared.queue.push(plan, ack);
        async move {
            let outcome = outcome
                .await
                .unwrap_or_else(|_writer_is_gone| Err(closed()));
            meter::count(started.elapsed());
            if let Some(store) = sweeper.filter(|_| outcome.is_ok())
                && let Err(error) = store.remove_whole(leftovers).await
            {
                tracing::warn!(%error, "records that nobody needs any more could not be removed");
            }
            outcome
        }
    }

    /// Calls `consumer` with every batch that this process commits: in order, before the commit
    /// is acknowledged. It runs on the log writer and must not block.
    ///
    /// Positions skip only where the answer to a commit was lost: such entries must be read from
    /// the log, as those of other processes.
    pub fn on_committed(&self, consumer: impl Fn(&CommittedBatch) + Send + Sync + 'static) {
        self.inner.shared.consumers.write().push(Box::new(consumer));
    }

    /// How far every node's log is known to have come, and a wake-up when it moves.
    pub fn watermarks(&self) -> watch::Receiver<Watermarks> {
        self.inner.shared.watermarks.subscribe()
    }

    /// Entries `from..=to` of a node's log, in order: one query. Entries below the log's horizon
    /// are missing at the start; none is ever missing in between.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn log_range(
        &self,
        node: NodeNo,
        from: u64,
        to: u64,
    ) -> Result<Vec<(Position, LogEntry)>, StoreError> {
        let key = |seq| LogRow::key_of(Position { node, seq });
        let rows: Vec<LogRow> = self
            .range(KeyRange::inclusive(&key(from), &key(to)))
            .await?;
        Ok(rows.into_iter().map(|row| (row.at, row.entry)).collect())
    }

    /// One record: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn get<T: Stored>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let id = Value::RecordId(codec::record_id(T::TABLE, key));
        self.database()
            .query(GET, variables([("id", id)]))
            .await?
            .row(0, T::TABLE)
    }

    /// Several records, each in the place of its key: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn get_many<T: Stored>(&self, keys: &[Key]) -> Result<Vec<Option<T>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Value> = keys
            .iter()
            .map(|key| Value::RecordId(codec::record_id(T::TABLE, key)))
            .collect();
        let ids = variables([("ids", Value::Array(Array::from(ids)))]);
        let found = self.database().query(GET_MANY, ids).await?.take(0)?;
        let mut rows: Vec<(RecordIdKey, Value)> = Vec::new();
        if let Value::Array(found) = found {
            for row in found.into_inner() {
                if let Value::Object(object) = &row
                    && let Some(Value::RecordId(id)) = object.get("id")
                {
                    rows.push((id.key.clone(), row));
                }
            }
        }
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let record = |key| {
            let key = codec::record_key(key);
            let place = rows.binary_search_by(|(known, _)| known.cmp(&key)).ok()?;
            rows.get(place).map(|(_, row)| row.clone())
        };
        keys.iter()
            .map(|key| record(key).map(|row| read(row, T::TABLE)).transpose())
            .collect()
    }

    /// All records of a range of keys, in order: one query, whose cost is that of the whole
    /// range.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn range<T: Stored>(&self, range: KeyRange) -> Result<Vec<T>, StoreError> {
        let range = Value::RecordId(range.record_id(T::TABLE));
        self.database()
            .query(RANGE, variables([("range", range)]))
            .await?
            .rows(0, T::TABLE)
    }

    /// The first `limit` records of a range of keys, in order: one query, which may cost as much as
    /// the whole range but does not take its memory.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn first_of_range<T: Stored>(
        &self,
        range: KeyRange,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        let range = Value::RecordId(range.record_id(T::TABLE));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let limit = Value::Number(Number::Int(limit));
        self.database()
            .query(
                FIRST_OF_RANGE,
                variables([("range", range), ("limit", limit)]),
            )
            .await?
            .rows(0, T::TABLE)
    }

    /// Removes records that nobody else writes and nobody needs to hear of, in one transaction of
    /// their own: the log writer, for which all others wait, has no part in it.
    ///
    /// # Errors
    /// The database is away, or somebody writes them after all.
    pub async fn remove<T: Stored>(&self, keys: &[Key]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let names: Vec<RecordName> = keys.iter().map(|key| (T::TABLE, key.clone())).collect();
        self.remove_whole(names).await
    }

    /// Removes records, also when nobody waits for it any more: half a transaction would be left.
    async fn remove_whole(&self, names: Vec<RecordName>) -> Result<(), StoreError> {
        let database = self.inner.database.clone();
        let removal = async move { database.remove(&names).await };
        let removal = self.inner.tasks.spawn(removal);
        removal.await.unwrap_or_else(|_aborted| Err(closed()))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn log_retention(&self) -> u64 {
        self.inner.log_retention
    }
}

impl Inner {
    fn start(&self, config: &StoreConfig, bell: Bell) {
        let writer = Writer::new(
            self.database.clone(),
            Arc::clone(&self.shared),
            config,
            bell,
        );
        self.tasks.spawn(writer.run());
        let listen = |doorbell| {
            doorbell::listen(doorbell, self.shared.watermarks.clone(), self.stop.clone())
        };
        self.tasks.spawn(listen(PollDoorbell::new(
            self.database.clone(),
            config.poll_interval,
        )));
        if config.live {
            let live = LiveDoorbell::new(self.database.clone());
            self.tasks.spawn(doorbell::listen(
                live,
                self.shared.watermarks.clone(),
                self.stop.clone(),
            ));
        }
    }
}
