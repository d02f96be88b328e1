//! The log path: reads what the hand-over did not bring, and ends typing that is past its
//! deadline.
//!
//! The store's watermarks say that there is something; how far the engine has come says what. A
//! bell that is lost, doubled or out of order costs latency at most.

use std::{collections::HashMap, sync::Arc, time::Duration};

use matryx_entity::{
    account_data::AccountData,
    event::EventRow,
    key,
    log::LogEntry,
    member::Member,
    member_delta::MemberDelta,
    position::{NodeNo, Position},
    receipt::Receipt,
    stored::{Key, Stored},
};
use matryx_surrealdb::Store;
use ruma::RoomId;
use tokio_util::sync::CancellationToken;

use super::{
    apply::{Loaded, NewEvent},
    engine::{FollowerMode, SyncEngine},
    error::SyncError,
    index::MAX_CHANGES,
    load_room::BATCH,
};

/// How many log entries one round reads.
const ROUND: u64 = BATCH as u64;

/// How long the hand-over may be behind the watermark before the log path helps out.
const GRACE: Duration = Duration::from_millis(100);

/// How long to wait after a failed read.
const RETRY: Duration = Duration::from_millis(500);

/// How far back the idempotency map is rebuilt at start, in log entries. Changes are remembered for
/// fewer.
const TAIL: u64 = 10_000;

impl SyncEngine {
    /// Takes the log as read up to its watermarks, rebuilds what must survive a restart, and
    /// registers for the hand-over.
    pub(crate) async fn start(&self) -> Result<(), SyncError> {
        let inner = &self.inner;
        // The caches are empty, so nothing up to here needs to be applied; the newest changes are
        // remembered, so that clients who come back find no other server. What the hand-over
        // brings meanwhile is early and is left to the log path.
        let watermarks = inner.store.watermarks().borrow().clone();
        {
            let mut index = inner.index.write();
            for (node, seq) in watermarks.iter() {
                let seq = seq.saturating_sub(MAX_CHANGES as u64);
                index.adopt(Position { node, seq });
            }
        }
        if inner.options.follower != FollowerMode::Log {
            let engine = Arc::downgrade(inner);
            inner.store.on_committed(move |batch| {
                if let Some(inner) = engine.upgrade() {
                    SyncEngine { inner }.apply(batch);
                }
            });
        }
        self.load_erased().await?;
        for (node, seq) in watermarks.iter() {
            self.recall(node, seq).await?;
        }
        Ok(())
    }

    /// Rebuilds from the tail of a log what was done lately, and what changed.
    async fn recall(&self, node: NodeNo, last: u64) -> Result<(), SyncError> {
        let mut from = last.saturating_sub(TAIL) + 1;
        while from <= last {
            let to = last.min(from + ROUND - 1);
            let entries = self.inner.store.log_range(node, from, to).await?;
            self.recall_transactions(&entries).await?;
            let begin = entries.first().map_or(to, |(at, _)| at.seq - 1);
            {
                // What is before that was trimmed.
                let mut index = self.inner.index.write();
                if index.applied().seq(node) < begin && begin >= from {
                    index.adopt(Position { node, seq: begin });
                }
            }
            let loaded = self.load_entries(entries, Depth::News).await?;
            self.apply_read(loaded);
            from = to + 1;
        }
        Ok(())
    }

    async fn recall_transactions(&self, entries: &[(Position, LogEntry)]) -> Result<(), SyncError> {
        let mut keys = Vec::new();
        let mut transactions = Vec::new();
        for (_, entry) in entries {
            match entry {
                LogEntry::Event {
                    room,
                    pos,
                    txn: Some(txn),
                    ..
                } => {
                    keys.push(key![*room, *pos]);
                    transactions.push(txn);
                }
                LogEntry::SentToDevice { txn } => self.inner.transactions.insert_done(txn.clone()),
                _ => {}
            }
        }
        let rows = read_many::<EventRow>(&self.inner.store, &keys).await?;
        for (row, transaction) in rows.into_iter().zip(transactions) {
            if let Some(row) = row {
                self.inner
                    .transactions
                    .insert(transaction.clone(), &row.event_id);
            }
        }
        Ok(())
    }

    /// Follows the log until `shutdown`. One task per engine.
    pub async fn follow(&self, shutdown: CancellationToken) {
        let mut watermarks = self.inner.store.watermarks();
        loop {
            let wait = match self.catch_up().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the sync engine cannot read the log");
                    Some(RETRY)
                }
            };
            self.inner.typing.expire();
            self.inner.presence.expire();
            self.inner.tell_presence();
            let wait = wait.into_iter().chain(self.ephemeral_wait()).min();
            let pause = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = watermarks.changed() => {
                    if changed.is_err() {
                        // The store is closed: nothing will change any more.
                        shutdown.cancelled().await;
                        return;
                    }
                }
                () = self.inner.behind.notified() => {}
                () = self.inner.typing.moved.notified() => {}
                () = self.inner.presence.moved() => {}
                () = pause => {}
            }
        }
    }

    /// How long until somebody's typing ends, or somebody's presence changes by itself.
    fn ephemeral_wait(&self) -> Option<Duration> {
        let typing = self.inner.typing.next_deadline();
        let presence = self.inner.presence.next_deadline();
        let deadline = typing.into_iter().chain(presence).min()?;
        let now = self.inner.clock.now();
        let left = u64::from(deadline.get()).saturating_sub(now.get().into());
        Some(Duration::from_millis(left + 1))
    }

    /// Reads and applies what is missing; says when to look again even without a bell.
    async fn catch_up(&self) -> Result<Option<Duration>, SyncError> {
        let inner = &self.inner;
        if inner.options.follower == FollowerMode::HandOver {
            return Ok(None);
        }
        let watermarks = inner.store.watermarks().borrow().clone();
        let own = inner.store.node();
        for (node, watermark) in watermarks.iter() {
            if node == own
                && inner.options.follower == FollowerMode::Both
                && self.handed_over(node, watermark).await
            {
                continue;
            }
            self.read_node(node, watermark).await?;
        }
        Ok(None)
    }

    /// Gives the hand-over a moment to do it; says whether it did.
    async fn handed_over(&self, node: NodeNo, watermark: u64) -> bool {
        let reached = async {
            loop {
                let progress = self.inner.progress.notified();
                if self.inner.index.read().applied().seq(node) >= watermark {
                    return;
                }
                progress.await;
            }
        };
        tokio::time::timeout(GRACE, reached).await.is_ok()
    }

    async fn read_node(&self, node: NodeNo, watermark: u64) -> Result<(), SyncError> {
        loop {
            let applied = self.inner.index.read().applied().seq(node);
            if applied >= watermark {
                return Ok(());
            }
            let to = watermark.min(applied + ROUND);
            let entries = self.inner.store.log_range(node, applied + 1, to).await?;
            let complete = entries.first().is_some_and(|(at, _)| at.seq == applied + 1);
            if !complete {
                self.skip_trimmed(Position { node, seq: to });
                continue;
            }
            let loaded = self.load_entries(entries, Depth::Rows).await?;
            self.apply_read(loaded);
            if self.inner.index.read().applied().seq(node) == applied {
                return Ok(());
            }
        }
    }

    /// The entries up to `to` were trimmed from the log before this engine read them: it forgets
    /// everything that they may have changed.
    fn skip_trimmed(&self, to: Position) {
        self.inner.rooms.clear();
        self.inner.users.clear();
        self.inner.receipts.clear();
        self.inner.inboxes.clear();
        self.inner.key_stocks.clear();
        self.inner.index.write().adopt(to);
        self.inner.waiters.wake_where(|_| true);
    }

    async fn load_entries(
        &self,
        entries: Vec<(Position, LogEntry)>,
        depth: Depth,
    ) -> Result<Vec<(Position, LogEntry, Loaded)>, SyncError> {
        let store = &self.inner.store;
        let mut keys = Keys::of(entries.iter().map(|(_, entry)| entry));
        if depth == Depth::News {
            keys.events.clear();
            keys.members.clear();
            keys.account_data.clear();
        }
        let events = by_key::<EventRow>(store, keys.events).await?;
        let members = by_key::<Member>(store, keys.members).await?;
        let receipts = by_key::<Receipt>(store, keys.receipts).await?;
        let account_data = by_key::<AccountData>(store, keys.account_data).await?;
        let deltas = by_key::<MemberDelta>(store, keys.deltas).await?;
        let loaded = entries.into_iter().map(|(at, entry)| {
            let loaded = match &entry {
                LogEntry::Event {
                    room, pos, member, ..
                } => Loaded::Event {
                    new: NewEvent::Row(events.get(&key![*room, *pos]).cloned().map(Box::new)),
                    member: member.as_ref().and_then(|user| {
                        let record = members.get(&key![user.as_str(), *room])?;
                        Some(Arc::new(record.clone()))
                    }),
                    delta: deltas.get(&key![*room, *pos]).cloned().map(Arc::new),
                },
                LogEntry::Member { user, room } => Loaded::Member(
                    members
                        .get(&key![user.as_str(), *room])
                        .cloned()
                        .map(Arc::new),
                ),
                LogEntry::Redacted { .. } => Loaded::Redacted(None),
                LogEntry::Receipt {
                    room,
                    user,
                    kind,
                    thread,
                } => Loaded::Receipt(
                    receipts
                        .get(&Receipt::key_of(
                            *room,
                            user,
                            &kind.as_str().into(),
                            thread.as_deref(),
                        ))
                        .cloned()
                        .map(Arc::new),
                ),
                LogEntry::AccountData { user, room, kind } => Loaded::AccountData(
                    account_data
                        .get(&AccountData::key_of(user, room.as_deref(), kind))
                        .cloned()
                        .map(Arc::new),
                ),
                LogEntry::Forward { .. }
                | LogEntry::Device { .. }
                | LogEntry::Signed { .. }
                | LogEntry::OneTimeKeys { .. }
                | LogEntry::ToDevice { .. }
                | LogEntry::SentToDevice { .. }
                | LogEntry::QueuedEdu { .. }
                | LogEntry::Revoked { .. }
                | LogEntry::Erased { .. }
                | LogEntry::User { .. } => Loaded::Plain,
            };
            (at, entry, loaded)
        });
        Ok(loaded.collect())
    }
}

/// What is read of the rows that log entries speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// All that the caches need to follow.
    Rows,
    /// What says whom the entries concern: there is nothing in the caches yet.
    News,
}

/// The keys of the rows that some log entries speak of.
#[derive(Default)]
struct Keys {
    events: Vec<Key>,
    members: Vec<Key>,
    receipts: Vec<Key>,
    account_data: Vec<Key>,
    deltas: Vec<Key>,
}

impl Keys {
    fn of<'a>(entries: impl Iterator<Item = &'a LogEntry>) -> Self {
        let mut keys = Self::default();
        for entry in entries {
            match entry {
                LogEntry::Event {
                    room,
                    pos,
                    member,
                    shares,
                    ..
                } => {
                    keys.events.push(key![*room, *pos]);
                    keys.deltas.extend(shares.then(|| key![*room, *pos]));
                    let user = member.as_ref();
                    keys.members
                        .extend(user.map(|user| key![user.as_str(), *room]));
                }
                LogEntry::Member { user, room } => keys.members.push(key![user.as_str(), *room]),
                LogEntry::Receipt {
                    room,
                    user,
                    kind,
                    thread,
                } => {
                    let kind = kind.as_str().into();
                    keys.receipts
                        .push(Receipt::key_of(*room, user, &kind, thread.as_deref()));
                }
                LogEntry::AccountData { user, room, kind } => {
                    let room: Option<&RoomId> = room.as_deref();
                    keys.account_data
                        .push(AccountData::key_of(user, room, kind));
                }
                LogEntry::Forward { .. }
                | LogEntry::Redacted { .. }
                | LogEntry::Device { .. }
                | LogEntry::Signed { .. }
                | LogEntry::OneTimeKeys { .. }
                | LogEntry::ToDevice { .. }
                | LogEntry::SentToDevice { .. }
                | LogEntry::QueuedEdu { .. }
                | LogEntry::Revoked { .. }
                | LogEntry::Erased { .. }
                | LogEntry::User { .. } => {}
            }
        }
        keys
    }
}

async fn by_key<T: Stored + Clone>(
    store: &Store,
    mut keys: Vec<Key>,
) -> Result<HashMap<Key, T>, SyncError> {
    keys.sort_unstable();
    keys.dedup();
    let rows = read_many::<T>(store, &keys).await?;
    let found = keys.into_iter().zip(rows);
    Ok(found.filter_map(|(key, row)| Some((key, row?))).collect())
}

/// Records by key, in batches.
pub(crate) async fn read_many<T: Stored>(
    store: &Store,
    keys: &[Key],
) -> Result<Vec<Option<T>>, SyncError> {
    let mut rows = Vec::with_capacity(keys.len());
    for batch in keys.chunks(BATCH) {
        rows.extend(store.get_many(batch).await?);
    }
    Ok(rows)
}
