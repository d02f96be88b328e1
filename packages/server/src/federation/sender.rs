//! Everything that leaves for other servers by itself: events of this server's users, their device
//! lists, messages to devices, receipts, typing and presence.
//!
//! The commit log says what is to be sent. [`follow`] reads it in order and puts each event into the
//! outboxes of the servers that it is for ([`audience`]); while an outbox holds something, a task of
//! its own sends one transaction after another ([`deliver`]). A server that fails, or cannot keep up,
//! keeps no events in memory: it has a position up to which it has everything, and is served from
//! the log once it answers again ([`catch_up`]). A server to which nothing is to be sent costs
//! nothing.
//!
//! What survives a crash ([`record`]): one record for each server that lags, and one mark up to which
//! all others have everything, written every few seconds. Whatever came after it is sent again, which
//! the other servers recognize by the events' ids.
//!
//! Changes of device lists ([`device_lists`]) go the way of events: which lists are to be told of
//! waits in the outboxes or is found in the log again; what is to be told is read when it leaves.
//!
//! Messages to devices must not get lost and are not in the log: they wait in the database, each for
//! its server, and leave in transactions of their own ([`messages`]). They don't wait for ever
//! ([`giving_up`]).
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#transactions)

mod audience;
pub(crate) mod backoff;
mod catch_up;
mod deliver;
mod device_lists;
mod ephemeral;
mod follow;
mod giving_up;
mod introductions;
mod messages;
mod outbox;
mod presence;
mod reach;
mod record;
mod slots;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use matryx_client::{
    federation::Federation,
    sync::{SyncEngine, SyncError},
};
use matryx_entity::{clock::Clock, pdu::MalformedPdu, room_no::RoomNo};
use matryx_surrealdb::{Store, StoreError};
use metrics::gauge;
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedTransactionId, ServerName, UserId};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    follow::Feed, outbox::Lag, outbox::Outbox, presence::FreshPresence, reach::Reach, slots::Slots,
};
use crate::{config::Retry, room::acl::ServerAcls};

/// The least time between two attempts that signs of life of a server lead to. A server that talks
/// to this one all the time and can't be reached must not be tried all the time.
const CALM: Duration = Duration::from_secs(2);

/// After a start, the servers that lag are tried one after another so far apart, but all of them
/// within [`START_WITHIN`].
const START_STEP: Duration = Duration::from_millis(20);
const START_WITHIN: Duration = Duration::from_secs(5);

/// What the sender needs of the rest of the server.
pub struct SenderDependencies {
    /// The database.
    pub store: Store,
    /// The caches.
    pub sync: SyncEngine,
    /// The way to other homeservers.
    pub federation: Federation,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long a server that fails is left alone.
    pub retry: Retry,
    /// Are other servers told what users call their devices?
    pub device_names: bool,
    /// Runs the sender's tasks.
    pub tasks: TaskTracker,
    /// Fires when the server stops.
    pub shutdown: CancellationToken,
}

/// Sends to other servers. Cheap to clone.
#[derive(Clone)]
pub struct Sender(Arc<Shared>);

/// How a server fares to which something is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DestinationStatus {
    /// Its name.
    pub server: OwnedServerName,
    /// How many events wait for it in memory.
    pub queued: usize,
    /// Is it served from the log, because it failed or could not keep up?
    pub lags: bool,
    /// How many attempts have failed since the last that succeeded.
    pub failures: u32,
    /// When the first of them failed.
    pub failing_since: Option<MilliSecondsSinceUnixEpoch>,
    /// When the next attempt is due.
    pub retry_at: Option<MilliSecondsSinceUnixEpoch>,
    /// Why the last one failed.
    pub reason: Option<String>,
}

/// Why something could not be sent: the server's own database or caches are to blame.
#[derive(Debug, thiserror::Error)]
enum SenderError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
    #[error("stored keys cannot be read")]
    Keys(#[from] serde_json::Error),
}

/// What the tasks of the sender share.
struct Shared {
    deps: SenderDependencies,
    server_name: OwnedServerName,
    acls: ServerAcls,
    /// What the sync engine has applied and nobody has looked at yet. A plain mutex: held for one
    /// entry.
    feed: Mutex<Feed>,
    /// Rings when there is something in the feed.
    bell: Notify,
    /// The outboxes, and how far the log has been put into them; both change together. A plain
    /// mutex: never held over I/O.
    state: Mutex<State>,
    /// Whose presence changed.
    presence: FreshPresence,
    slots: Slots,
    transactions: Transactions,
}

#[derive(Default)]
struct State {
    /// Up to where the log was put into the outboxes.
    dispatched: Reach,
    /// Has the log been gone through since the start? Before that nobody is up to date.
    has_followed: bool,
    /// The mark that was last written down.
    marked: Option<Reach>,
    outboxes: HashMap<OwnedServerName, Outbox>,
}

impl State {
    /// Up to where everybody who has no record of their own has everything.
    fn mark(&self) -> Reach {
        let mut mark = self.dispatched.clone();
        for outbox in self.outboxes.values() {
            if outbox.lag.as_ref().is_none_or(|lag| !lag.recorded) {
                mark.limit(&outbox.delivered(&self.dispatched));
            }
        }
        mark
    }
}

/// Makes ids of transactions: none is made twice, also not by another start of the server. An id is
/// not kept for the next attempt, whose content may be another.
struct Transactions {
    start: u64,
    next: AtomicU64,
}

impl Transactions {
    fn id(&self) -> OwnedTransactionId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{number:x}", self.start).into()
    }
}

impl Sender {
    /// Takes up what the last process left, and follows the log from there.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn start(deps: SenderDependencies) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            server_name: deps.federation.server_name().to_owned(),
            acls: ServerAcls::default(),
            feed: Mutex::default(),
            bell: Notify::new(),
            state: Mutex::default(),
            presence: FreshPresence::default(),
            slots: Slots::default(),
            transactions: Transactions {
                start: rand::random::<u64>(),
                next: AtomicU64::new(0),
            },
            deps,
        });
        let sender = Self(shared);
        sender.0.take_up().await?;
        sender.listen();
        let shared = Arc::clone(&sender.0);
        sender.0.deps.tasks.spawn(shared.follow());
        let shared = Arc::clone(&sender.0);
        sender.0.deps.tasks.spawn(shared.keep_giving_up());
        Ok(sender)
    }

    /// Gives up messages that wait for too long. Happens by itself as well.
    ///
    /// # Errors
    /// The database is away.
    pub async fn give_up_old(&self) -> Result<(), StoreError> {
        self.0.give_up().await
    }

    /// A server has proved to be alive: what waits for it is sent now.
    pub fn note_alive(&self, server: &ServerName) {
        self.0.hurry(server, CALM);
    }

    /// Tries a server now, or all that lag. How many that are.
    pub fn retry(&self, server: Option<&ServerName>) -> usize {
        let lagging: Vec<OwnedServerName> = {
            let state = self.0.state.lock();
            let lagging = state.outboxes.iter().filter(|(name, outbox)| {
                outbox.lag.is_some() && server.is_none_or(|server| server == **name)
            });
            lagging.map(|(name, _)| name.clone()).collect()
        };
        for server in &lagging {
            self.0.hurry(server, Duration::ZERO);
        }
        lagging.len()
    }

    /// All servers to which something is to be sent, by name.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        let state = self.0.state.lock();
        let outboxes = state.outboxes.iter();
        let mut all: Vec<_> = outboxes
            .map(|(server, outbox)| status(server, outbox))
            .collect();
        all.sort_by(|one, other| one.server.cmp(&other.server));
        all
    }

    /// Sets the process's metrics to what the sender is now.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and these stay far below 2^52"
    )]
    pub fn record_metrics(&self) {
        let state = self.0.state.lock();
        let lagging = state
            .outboxes
            .values()
            .filter(|it| it.lag.is_some())
            .count();
        let live = state.outboxes.len() - lagging;
        let queued: usize = state.outboxes.values().map(Outbox::queued).sum();
        gauge!("matryx_federation_destinations", "state" => "live").set(live as f64);
        gauge!("matryx_federation_destinations", "state" => "lagging").set(lagging as f64);
        gauge!("matryx_federation_queued_events").set(queued as f64);
    }

    /// Hears of entries of the log, of who types and of who is there. No listener keeps the sender alive.
    fn listen(&self) {
        let shared = Arc::downgrade(&self.0);
        self.0.deps.sync.on_entry(move |at, entry| {
            if let Some(shared) = shared.upgrade() {
                shared.hear(at, entry);
            }
        });
        let shared = Arc::downgrade(&self.0);
        let types = move |room: RoomNo, user: &UserId, types: bool| {
            if let Some(shared) = shared.upgrade() {
                shared.send_typing(room, user, types);
            }
        };
        self.0.deps.sync.typing().on_change(types);
        let shared = Arc::downgrade(&self.0);
        self.0.deps.sync.presence().on_change(move |user, status| {
            if let Some(shared) = shared.upgrade() {
                shared.hear_presence(user, status);
            }
        });
        // What was committed before is in the log.
        self.0.note_seen(self.0.deps.sync.now().positions());
    }
}

fn status(server: &ServerName, outbox: &Outbox) -> DestinationStatus {
    let failed = outbox.lag.as_ref().filter(|lag| lag.failures > 0);
    DestinationStatus {
        server: server.to_owned(),
        queued: outbox.queued(),
        lags: outbox.lag.is_some(),
        failures: failed.map_or(0, |lag| lag.failures),
        failing_since: failed.map(|lag| lag.failing_since),
        retry_at: failed.map(|lag| lag.retry_at),
        reason: failed.map(|lag| lag.reason.clone()),
    }
}

impl Shared {
    async fn take_up(self: &Arc<Self>) -> Result<(), StoreError> {
        let mark = match self.read_mark().await? {
            Some(mark) => mark,
            // The first start: what is there already was there before anybody could be told.
            None => Reach::new(self.deps.sync.now().positions()),
        };
        let records = self.read_records().await?;
        let waiting = self.read_waiting().await?;
        let now = Instant::now();
        let steps = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let within = START_STEP.saturating_mul(steps).min(START_WITHIN);
        {
            let mut state = self.state.lock();
            state.dispatched = mark;
            for record in records {
                let not_before = now + within.mul_f64(rand::random());
                let outbox = Outbox::lagging(Lag::recorded(&record, now, not_before));
                state.outboxes.insert(record.server.clone(), outbox);
            }
            for server in waiting {
                state.outboxes.entry(server).or_default().messages.wake();
            }
            let servers: Vec<OwnedServerName> = state.outboxes.keys().cloned().collect();
            for server in &servers {
                self.ensure_task(&mut state, server);
            }
        }
        self.write_mark().await
    }

    /// Starts the task of an outbox that has something to send.
    fn ensure_task(self: &Arc<Self>, state: &mut State, server: &OwnedServerName) {
        if let Some(outbox) = state.outboxes.get_mut(server)
            && !outbox.has_task
        {
            outbox.has_task = true;
            let task = Arc::clone(self).deliver(server.clone());
            self.deps.tasks.spawn(task);
        }
    }

    /// Lets the next attempt be as soon as there were `calm` since the last.
    fn hurry(&self, server: &ServerName, calm: Duration) {
        let mut state = self.state.lock();
        let Some(outbox) = state.outboxes.get_mut(server) else {
            return;
        };
        if let Some(lag) = &mut outbox.lag {
            lag.failures = 0;
            lag.not_before = lag.not_before.min(lag.tried + calm);
            outbox.bell.notify_one();
        }
    }
}
