//! The log writer: the only one who gives out positions in this process.
//!
//! One task takes everything that is queued, writes it in one transaction, hands the committed
//! entries over and acknowledges; meanwhile the next batch gathers. There is no timer: an idle
//! writer commits a plan at once, a busy one commits many together.
//!
//! A remote database can lose its answer to a COMMIT. Every remote transaction therefore checks
//! and moves the mark of the bell row, `[epoch, batch]`: re-reading the mark tells whether the
//! transaction happened, and a transaction that the driver delivers late finds another mark and
//! fails.

mod texts;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use matryx_entity::{node::Bell, position::Position, stored::Stored};
use metrics::{counter, gauge, histogram};
use parking_lot::RwLock;
use surrealdb_types::{Array, RecordId, Value, Variables};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use self::texts::{GUARDED, INSERT, SILENT, WRITE};
use crate::{
    batch::{Batch, created_as},
    codec,
    config::StoreConfig,
    database::{Database, read, variables},
    error::StoreError,
    failure::Failure,
    migrate::SchemaProblem,
    plan::{Committed, CommittedBatch},
    queue::{Queue, Queued},
    removal,
    watermarks::Watermarks,
};

const READ_BELL: &str = "SELECT * FROM ONLY $bell";

/// How often a transaction conflict is tried again; nobody but this writer writes most rows.
const CONFLICT_TRIES: u32 = 10;

/// The longest pause between two tries while the database is away.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long the last try may take, for which there is no time left.
const LAST_TRY: Duration = Duration::from_secs(2);

/// The pause between two tries to open an engine anew that cannot write.
const MEND_PAUSE: Duration = Duration::from_secs(1);

/// Hears of every batch.
pub(crate) type Consumer = Box<dyn Fn(&CommittedBatch) + Send + Sync>;

/// What the writer and the store share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    /// Written at start-up, read for every batch.
    pub(crate) consumers: RwLock<Vec<Consumer>>,
    pub(crate) watermarks: watch::Sender<Watermarks>,
}

/// The end of the writer, in whatever way: nobody waits for a commit that nobody will make.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the log writer broke down; nothing is written until a restart");
        }
        self.0.queue.abandon();
    }
}

/// The log writer's own state.
pub(crate) struct Writer {
    database: Database,
    shared: Arc<Shared>,
    patience: Duration,
    bell: Bell,
    /// Remote only: the mark of the batch that is being written; no batch has that of another.
    mark: u64,
    /// Remote only: a transaction was sent whose outcome is not known.
    doubt: bool,
    /// Remote only: the batch before was given up, because the database is away.
    away: bool,
    /// Embedded only: when the broken engine may be opened anew.
    mend_at: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(
        database: Database,
        shared: Arc<Shared>,
        config: &StoreConfig,
        bell: Bell,
    ) -> Self {
        Self {
            database,
            shared,
            patience: config.patience,
            mark: bell.batch,
            bell,
            doubt: false,
            away: false,
            mend_at: None,
        }
    }

    /// Writes until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let _end = End(Arc::clone(&self.shared));
        while let Some(mut plans) = self.shared.queue.next().await {
            while !plans.is_empty() {
                self.commit_some(&mut plans).await;
            }
        }
    }

    /// Commits or refuses the first of the plans, and takes them away; or changes what kept it from
    /// doing so.
    async fn commit_some(&mut self, plans: &mut VecDeque<Queued>) {
        self.refuse_built_on_failures(plans);
        if plans.is_empty() {
            return;
        }
        let before = Position {
            node: self.bell.node,
            seq: self.bell.seq,
        };
        let batch = match Batch::fold(plans, before) {
            Ok(batch) => batch,
            Err(error) => return self.refuse(plans, 0, error),
        };
        let count = batch.plans;
        match self.write(batch).await {
            Ok(batch) => self.acknowledge(plans, batch),
            Err(Failure::Moved) => {}
            Err(Failure::Exists(id)) => self.refuse_existing(plans, count, &id).await,
            Err(Failure::Refused(error)) if count > 1 => {
                tracing::warn!(%error, plans = count, "a batch was refused; its plans go alone");
                self.commit_one_by_one(plans, count).await;
            }
            Err(failure) => {
                let error = StoreError::from(failure);
                tracing::warn!(%error, plans = count, "a commit failed");
                for _ in 0..count {
                    self.refuse(plans, 0, error.clone());
                }
            }
        }
    }

    async fn commit_one_by_one(&mut self, plans: &mut VecDeque<Queued>, count: usize) {
        for _ in 0..count {
            let mut alone: VecDeque<Queued> = plans.pop_front().into_iter().collect();
            while !alone.is_empty() {
                Box::pin(self.commit_some(&mut alone)).await;
            }
        }
    }

    fn refuse_built_on_failures(&self, plans: &mut VecDeque<Queued>) {
        let mut index = 0;
        while let Some(queued) = plans.get(index) {
            match self.shared.queue.refusal(queued) {
                Some(error) => self.refuse(plans, index, error),
                None => index += 1,
            }
        }
    }

    /// One of the plans created what was there: that one fails, the others are written again.
    async fn refuse_existing(&mut self, plans: &mut VecDeque<Queued>, count: usize, id: &str) {
        let found = plans
            .iter()
            .take(count)
            .enumerate()
            .find_map(|(index, queued)| {
                created_as(&queued.plan, id).map(|(table, key)| (index, table, key))
            });
        match found {
            Some((index, table, key)) => {
                self.refuse(plans, index, StoreError::Exists { table, key });
            }
            // A log entry: a transaction that was reported as failed has been committed.
            None => match self.read_bell().await {
                Ok(bell) if bell.epoch == self.bell.epoch && bell.seq > self.bell.seq => {
                    self.adopt(bell.seq);
                }
                _ => {
                    let reason = format!("{id} exists already").into();
                    self.refuse(plans, 0, StoreError::Unavailable { reason });
                }
            },
        }
    }

    fn refuse(&self, plans: &mut VecDeque<Queued>, index: usize, error: StoreError) {
        if let Some(queued) = plans.remove(index) {
            self.shared.queue.note_failure(&queued);
            queued.refuse(error);
        }
    }

    fn acknowledge(&mut self, plans: &mut VecDeque<Queued>, batch: Batch) {
        let mut first = Position {
            seq: batch.before.seq + 1,
            ..batch.before
        };
        let count = batch.plans;
        self.publish(batch);
        for queued in plans.drain(..count.min(plans.len())) {
            let committed = Committed {
                first,
                count: queued.plan.log.len(),
            };
            first.seq += queued.plan.log.len() as u64;
            // Who does not wait for the outcome does not want it.
            let _unwanted = queued.ack.send(Ok(committed));
        }
    }

    /// Takes a batch as committed and lets everybody in this process know.
    fn publish(&mut self, batch: Batch) {
        self.bell.seq = batch.last().seq;
        counter!("matryx_state_group_rows_total").increment(batch.state_groups);
        if batch.entries.is_empty() {
            return;
        }
        let committed = CommittedBatch {
            entries: batch.entries,
        };
        for consumer in self.shared.consumers.read().iter() {
            consumer(&committed);
        }
        let Bell { node, seq, .. } = self.bell;
        self.shared
            .watermarks
            .send_if_modified(|watermarks| watermarks.raise(node, seq));
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!("matryx_log_seq").set(seq as f64);
    }

    /// Writes one batch, however often it takes.
    async fn write(&mut self, batch: Batch) -> Result<Batch, Failure> {
        let started = Instant::now();
        self.mark += 1;
        histogram!("matryx_commit_batch_plans").record(u32::try_from(batch.plans).unwrap_or(0));
        histogram!("matryx_commit_batch_rows").record(u32::try_from(batch.rows()).unwrap_or(0));
        let result = if self.database.is_embedded() {
            self.write_embedded(&batch).await
        } else {
            // Who waits now has waited for the batch before as well.
            let patience = if self.away {
                Duration::ZERO
            } else {
                self.patience
            };
            let result = self.write_remote(&batch, started + patience).await;
            self.away = matches!(result, Err(Failure::Unavailable(_)));
            result
        };
        histogram!("matryx_commit_seconds").record(started.elapsed());
        match result {
            Ok(()) => Ok(batch),
            Err(failure) => Err(failure),
        }
    }

    async fn write_embedded(&mut self, batch: &Batch) -> Result<(), Failure> {
        let text = match (
            batch.entries.is_empty(),
            batch.puts.len() + batch.deletes.len(),
        ) {
            (true, _) => SILENT,
            (false, 0) => INSERT,
            (false, _) => WRITE,
        };
        self.mend().await?;
        let mut tries = 0;
        loop {
            match self.database.try_query(text, self.variables(batch)?).await {
                Err(Failure::Conflict) if tries < CONFLICT_TRIES => {
                    tries += 1;
                    counter!("matryx_commit_conflicts_total").increment(1);
                    sleep(Duration::from_millis(1 << tries.min(7))).await;
                }
                Err(Failure::Unavailable(reason)) => {
                    self.mend_at = Some(Instant::now() + MEND_PAUSE);
                    return Err(Failure::Unavailable(reason));
                }
                result => return result.map(drop),
            }
        }
    }

    /// Opens an engine anew that has failed to write. Nothing is written by the broken one: what
    /// it takes after its failure it shows to readers, but does not keep.
    async fn mend(&mut self) -> Result<(), Failure> {
        let Some(mend_at) = self.mend_at else {
            return Ok(());
        };
        if Instant::now() < mend_at {
            return Err(Failure::Unavailable("the database cannot write".into()));
        }
        let mended = async {
            self.database.reopen().await.map_err(Failure::Other)?;
            self.read_bell().await
        };
        let bell = match mended.await {
            Ok(bell) => bell,
            Err(failure) => {
                self.mend_at = Some(Instant::now() + MEND_PAUSE);
                return Err(failure);
            }
        };
        self.mend_at = None;
        tracing::warn!("the database was opened anew");
        if bell.seq == self.bell.seq {
            return Ok(());
        }
        // The transaction that failed is kept after all.
        self.adopt(bell.seq);
        Err(Failure::Moved)
    }

    async fn write_remote(&mut self, batch: &Batch, deadline: Instant) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(5);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let tried = timeout(left.max(LAST_TRY), self.try_remote(batch)).await;
            let failure = match tried {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => failure,
                Err(elapsed) => {
                    self.doubt = true;
                    Failure::Unavailable(elapsed.to_string().into())
                }
            };
            let reason = match failure {
                Failure::Conflict => "too many conflicts".into(),
                Failure::Unavailable(reason) => reason,
                failure => return Err(failure),
            };
            if Instant::now() + pause > deadline {
                return Err(Failure::Unavailable(reason));
            }
            counter!("matryx_commit_retries_total").increment(1);
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn try_remote(&mut self, batch: &Batch) -> Result<(), Failure> {
        if self.doubt && self.settle().await? {
            return Ok(());
        }
        match self
            .database
            .try_query(GUARDED, self.variables(batch)?)
            .await
        {
            Ok(_) => {
                self.bell.batch = self.mark;
                Ok(())
            }
            Err(Failure::Unavailable(reason)) => {
                self.doubt = true;
                Err(Failure::Unavailable(reason))
            }
            // The mark is not the one that this writer left: a transaction whose answer was lost
            // has been committed after all, or another process writes here.
            Err(Failure::Thrown) => {
                self.doubt = true;
                Err(Failure::Conflict)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Finds out how an unanswered transaction ended before another one is sent; tells whether
    /// the one with the present mark turns out to be committed.
    async fn settle(&mut self) -> Result<bool, Failure> {
        let bell = self.read_bell().await?;
        if bell.epoch != self.bell.epoch {
            let problem = SchemaProblem::NodeTaken { node: bell.node };
            return Err(Failure::Other(StoreError::Schema(problem)));
        }
        self.doubt = false;
        if bell.batch == self.bell.batch {
            // What was sent is not committed, and will not be once the mark moves.
            return Ok(false);
        }
        let present = bell.batch == self.mark;
        self.bell.batch = bell.batch;
        if !present {
            self.adopt(bell.seq);
            return Err(Failure::Moved);
        }
        Ok(true)
    }

    /// A batch was committed that this writer had given up: its plans' callers were told
    /// "unavailable"; the local consumers read its entries as they read those of other processes.
    fn adopt(&mut self, seq: u64) {
        self.bell.seq = seq;
        let node = self.bell.node;
        self.shared
            .watermarks
            .send_if_modified(|watermarks| watermarks.raise(node, seq));
    }

    async fn read_bell(&self) -> Result<Bell, Failure> {
        let variables = variables([("bell", self.bell_id())]);
        let mut response = self.database.try_query(READ_BELL, variables).await?;
        let row = response.take(0).map_err(Failure::Other)?;
        read(row, Bell::TABLE).map_err(Failure::Other)
    }

    fn bell_id(&self) -> Value {
        Value::RecordId(RecordId::new(Bell::TABLE, i64::from(self.bell.node)))
    }

    fn variables(&self, batch: &Batch) -> Result<Variables, Failure> {
        let mark = Bell {
            seq: batch.last().seq,
            batch: self.mark,
            ..self.bell.clone()
        };
        let encode = |value: Result<Value, codec::CodecError>| {
            value.map_err(|source| {
                Failure::Other(StoreError::Unencodable {
                    table: Bell::TABLE,
                    source: source.into(),
                })
            })
        };
        let array = |items: &Vec<Value>| Value::Array(Array::from(items.clone()));
        Ok(variables([
            ("bell", self.bell_id()),
            ("mark", encode(codec::to_value(&mark))?),
            (
                "expected",
                encode(codec::to_value(&(self.bell.epoch, self.bell.batch)))?,
            ),
            ("creates", array(&batch.creates)),
            ("puts", array(&batch.puts)),
            ("deletes", removal::ids(&batch.deletes)),
        ]))
    }
}
