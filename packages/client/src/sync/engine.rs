//! The engine's handle: opening it, and reading its caches.

use std::{fmt, sync::Arc};

use matryx_entity::{
    clock::Clock,
    log::{ClientTransaction, LogEntry},
    position::Position,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    timeline::TimelineEvent,
    token::SyncToken,
};
use matryx_surrealdb::Store;
use parking_lot::RwLock;
use ruma::{
    DeviceId, EventId, OwnedDeviceId, OwnedEventId, OwnedServerName, OwnedTransactionId,
    OwnedUserId, RoomId, UserId,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    cache::{Cache, CacheStatus},
    erasure::Erased,
    error::SyncError,
    events_at::Place,
    inbox::{DeviceName, Inbox},
    index::Index,
    key_stock::KeyStock,
    load_user::{load_receipts, load_user},
    presence::{Presence, PresenceOptions},
    receipts::RoomReceipts,
    rooms::Rooms,
    serials::Serials,
    transactions::Transactions,
    typing::Typing,
    unread::Fold,
    user_view::UserView,
    v3::Connection,
    waiters::Waiters,
};

/// By which way the engine learns of commits. Either alone suffices; both together are fastest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowerMode {
    /// This process's commits directly from its log writer, everything else from the log.
    #[default]
    Both,
    /// Only this process's commits, directly.
    HandOver,
    /// Everything from the log.
    Log,
}

/// The engine's parameters and bounds.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// The name of this server: whose users are local.
    pub server_name: OwnedServerName,
    /// How commits are learned of.
    pub follower: FollowerMode,
    /// How presence is derived.
    pub presence: PresenceOptions,
    /// The most bytes of rooms in memory, roughly.
    pub room_bytes: u64,
    /// The most bytes of users' views in memory, roughly.
    pub user_bytes: u64,
    /// The most bytes of receipts in memory, roughly.
    pub receipt_bytes: u64,
    /// The most bytes of what devices were sent of lazily loaded members, roughly.
    pub device_bytes: u64,
    /// The most bytes of unread counts in memory, roughly.
    pub unread_bytes: u64,
    /// The most bytes of older events in memory, roughly.
    pub event_bytes: u64,
    /// The most bytes of messages to devices in memory, roughly.
    pub inbox_bytes: u64,
    /// The most bytes of what keys devices have left, roughly.
    pub key_stock_bytes: u64,
}

impl SyncOptions {
    /// The defaults for a server.
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            follower: FollowerMode::Both,
            presence: PresenceOptions::default(),
            room_bytes: 64 << 20,
            user_bytes: 24 << 20,
            receipt_bytes: 8 << 20,
            device_bytes: 8 << 20,
            unread_bytes: 8 << 20,
            event_bytes: 8 << 20,
            inbox_bytes: 16 << 20,
            key_stock_bytes: 4 << 20,
        }
    }
}

/// The sync engine. Cheap to clone.
#[derive(Clone)]
pub struct SyncEngine {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for SyncEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncEngine").finish_non_exhaustive()
    }
}

/// Called with every log entry that is applied.
type Listener = Box<dyn Fn(Position, &LogEntry) + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) options: SyncOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) users: Cache<OwnedUserId, UserView>,
    pub(crate) receipts: Cache<RoomNo, RoomReceipts>,
    /// Guards the applied prefix and, while it is held for writing, the publication of what a
    /// batch changed: a reader that holds it sees caches and position of the same moment.
    pub(crate) index: RwLock<Index>,
    pub(crate) waiters: Waiters,
    pub(crate) serials: Serials,
    pub(crate) typing: Typing,
    pub(crate) presence: Presence,
    /// Who had themselves erased.
    pub(crate) erased: Erased,
    pub(crate) transactions: Transactions,
    /// Called after an entry is applied. Filled at start, then only read.
    pub(crate) listeners: RwLock<Vec<Listener>>,
    /// Rings when the hand-over had to leave entries to the log path.
    pub(crate) behind: Notify,
    /// Rings whenever the applied prefix has moved.
    pub(crate) progress: Notify,
    /// What each device that loads members lazily was sent.
    pub(crate) connections: Cache<(OwnedUserId, OwnedDeviceId), Connection>,
    /// Unread counts.
    pub(crate) folds: Cache<(OwnedUserId, RoomNo), Fold>,
    /// Older events that were asked for lately.
    pub(crate) events: Cache<Place, TimelineEvent>,
    /// The messages that wait for devices.
    pub(crate) inboxes: Cache<DeviceName, Inbox>,
    /// The keys that devices have left.
    pub(crate) key_stocks: Cache<DeviceName, KeyStock>,
    /// Cancelled when the server stops: long polls are answered.
    pub(crate) closing: CancellationToken,
}

/// What the engine can say about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncStatus {
    /// The caches.
    pub caches: Vec<CacheStatus>,
    /// How many long polls are registered.
    pub waiters: usize,
    /// How many log entries are remembered.
    pub changes: usize,
    /// How many requests the idempotency map holds.
    pub transactions: usize,
    /// How many committed entries are not applied yet.
    pub lag: u64,
}

impl SyncEngine {
    /// Opens the engine on a store: takes the log as read up to its watermarks, rebuilds the
    /// idempotency map from the log's tail, and (unless the mode says otherwise) takes the
    /// hand-over from the store's writer. [`SyncEngine::follow`] must run for the rest.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn open(
        store: Store,
        options: SyncOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SyncError> {
        let rooms = Arc::new(Rooms::new(
            store.clone(),
            options.server_name.clone(),
            options.room_bytes,
        ));
        let waiters = Waiters::default();
        let serials = Serials::default();
        let typing = Typing::new(
            Arc::clone(&clock),
            Arc::clone(&rooms),
            waiters.clone(),
            serials.clone(),
        );
        let presence = Presence::new(options.presence, Arc::clone(&clock), serials.clone());
        let engine = Self {
            inner: Arc::new(Inner {
                users: Cache::new("users", options.user_bytes),
                receipts: Cache::new("receipts", options.receipt_bytes),
                connections: Cache::new("connections", options.device_bytes),
                folds: Cache::new("unread", options.unread_bytes),
                events: Cache::new("events", options.event_bytes),
                inboxes: Cache::new("inboxes", options.inbox_bytes),
                key_stocks: Cache::new("key_stocks", options.key_stock_bytes),
                store,
                options,
                clock,
                rooms,
                index: RwLock::default(),
                waiters,
                serials,
                typing,
                presence,
                erased: Erased::default(),
                transactions: Transactions::default(),
                listeners: RwLock::default(),
                behind: Notify::new(),
                progress: Notify::new(),
                closing: CancellationToken::new(),
            }),
        };
        engine.start().await?;
        Ok(engine)
    }

    /// The room now: one cache look-up, or a handful of queries on a miss. `None` when there is no
    /// such room.
    ///
    /// # Errors
    /// The room had to be read and could not be.
    pub async fn room(&self, no: RoomNo) -> Result<Option<Arc<RoomSnapshot>>, SyncError> {
        self.inner.rooms.room(no).await
    }

    /// The room as far as its events are durable, if it is in memory. No I/O.
    pub fn cached_room(&self, no: RoomNo) -> Option<Arc<RoomSnapshot>> {
        self.inner.rooms.cached(no)
    }

    /// Like [`SyncEngine::room`], by id.
    ///
    /// # Errors
    /// The room had to be read and could not be.
    pub async fn room_by_id(
        &self,
        room_id: &RoomId,
    ) -> Result<Option<Arc<RoomSnapshot>>, SyncError> {
        match self.room_no(room_id).await? {
            Some(no) => self.room(no).await,
            None => Ok(None),
        }
    }

    /// A room's number: one cache look-up, or one query on a miss.
    ///
    /// # Errors
    /// The number had to be read and could not be.
    pub async fn room_no(&self, room_id: &RoomId) -> Result<Option<RoomNo>, SyncError> {
        self.inner.rooms.number(room_id).await
    }

    /// A local user's view: one cache look-up, or two queries on a miss. A user of whom nothing is
    /// known has an empty one.
    ///
    /// # Errors
    /// The view had to be read and could not be.
    pub async fn user(&self, user: &UserId) -> Result<Arc<UserView>, SyncError> {
        let load = || async { load_user(&self.inner.store, user).await.map(Some) };
        let view = self.inner.users.get_or_load(&user.to_owned(), load).await?;
        Ok(view.unwrap_or_else(|| Arc::new(UserView::empty(user))))
    }

    /// The receipts of a room: one cache look-up, or one query on a miss.
    ///
    /// # Errors
    /// The receipts had to be read and could not be.
    pub async fn receipts(&self, room: RoomNo) -> Result<Arc<RoomReceipts>, SyncError> {
        let load = || async { load_receipts(&self.inner.store, room).await.map(Some) };
        let receipts = self.inner.receipts.get_or_load(&room, load).await?;
        Ok(receipts.unwrap_or_default())
    }

    /// The event that a client's request made earlier. Remembered in memory, also over a restart,
    /// for some ten thousand requests at least.
    pub fn transaction(&self, transaction: &ClientTransaction) -> Option<OwnedEventId> {
        self.inner.transactions.event(transaction)
    }

    /// Was a client's request that makes no event carried out earlier? Remembered as
    /// [`SyncEngine::transaction`] is.
    pub fn was_carried_out(&self, transaction: &ClientTransaction) -> bool {
        self.inner.transactions.contains(transaction)
    }

    /// The transaction id under which this device of this user made an event: what
    /// `unsigned.transaction_id` says. Remembered as [`SyncEngine::transaction`] is.
    pub fn transaction_id(
        &self,
        event_id: &EventId,
        user: &UserId,
        device: Option<&DeviceId>,
    ) -> Option<OwnedTransactionId> {
        self.inner.transactions.id_for(event_id, user, device)
    }

    /// Who is online.
    pub fn presence(&self) -> &Presence {
        &self.inner.presence
    }

    /// Who is typing.
    pub fn typing(&self) -> &Typing {
        &self.inner.typing
    }

    /// The moment up to which everything committed was applied.
    pub fn now(&self) -> SyncToken {
        self.inner.index.read().applied().clone()
    }

    /// Answers all long polls, now and from now on: the server stops.
    pub fn stop_waiting(&self) {
        self.inner.closing.cancel();
    }

    /// Calls `listener` with every log entry once it is applied, before a commit of this process
    /// is acknowledged. It must not block. Entries of the two ways by which the engine learns of
    /// commits may overtake each other; entries that were trimmed unread are left out.
    pub fn on_entry(&self, listener: impl Fn(Position, &LogEntry) + Send + Sync + 'static) {
        self.inner.listeners.write().push(Box::new(listener));
    }

    /// Sizes, hits and evictions of the caches, waiters and lag.
    pub fn status(&self) -> SyncStatus {
        let inner = &self.inner;
        let (applied, changes) = {
            let index = inner.index.read();
            (index.applied().clone(), index.len())
        };
        let watermarks = inner.store.watermarks();
        let lag = watermarks
            .borrow()
            .iter()
            .map(|(node, seq)| seq.saturating_sub(applied.seq(node)))
            .sum();
        let mut caches = inner.rooms.status().to_vec();
        caches.extend([
            inner.users.status(),
            inner.receipts.status(),
            inner.connections.status(),
            inner.folds.status(),
            inner.events.status(),
            inner.inboxes.status(),
            inner.key_stocks.status(),
        ]);
        SyncStatus {
            caches,
            waiters: inner.waiters.len(),
            changes,
            transactions: inner.transactions.len(),
            lag,
        }
    }
}
