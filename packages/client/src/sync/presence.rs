//! Who is online: in memory, derived from who syncs and who does something.
//!
//! A user of this server is online while one of its clients syncs and for a moment after, and idle
//! when nothing was done for long; a user of another server is what that server last said, for a
//! while. Nobody is counted twice, and nobody stays: a session ends with the request that it lives
//! in, however that ends.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#presence)

mod user;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use matryx_entity::clock::Clock;
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId, presence::PresenceState};
use tokio::sync::Notify;

use self::user::User;
pub use self::user::{PresenceStatus, RemotePresence};
use super::serials::Serials;

/// The most users of other servers whose presence is kept.
const MAX_REMOTE: usize = 50_000;

/// How many users who are offline are remembered, so that clients learn of it.
const MAX_OFFLINE: usize = 20_000;

/// The least time between two wake-ups for changes of presence: whatever comes meanwhile is told
/// together.
const CALM: Duration = Duration::from_millis(250);

/// How often those who are online are told of to other servers though nothing changed: these forget
/// what they hear nothing of.
const REPEAT: Duration = Duration::from_mins(25);

/// How presence is derived.
#[derive(Clone, Copy, Debug)]
pub struct PresenceOptions {
    /// Whether there is presence at all.
    pub enabled: bool,
    /// How long after its last request a client counts as gone.
    pub grace: Duration,
    /// After how long without an act a user is idle.
    pub idle_after: Duration,
}

impl Default for PresenceOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            grace: Duration::from_secs(15),
            idle_after: Duration::from_mins(5),
        }
    }
}

type OnChange = dyn Fn(&UserId, &PresenceStatus) + Send + Sync;

struct Listener(Box<OnChange>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// The presence of all users of whom something is known.
#[derive(Clone, Debug)]
pub struct Presence(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    options: PresenceOptions,
    clock: Arc<dyn Clock>,
    serials: Serials,
    /// Guards the users; held for a few instructions.
    state: Mutex<State>,
    /// Rings when the nearest deadline may have moved.
    moved: Notify,
    /// Hears of what becomes of this server's users.
    listener: OnceLock<Listener>,
}

#[derive(Debug, Default)]
struct State {
    /// The serial of the newest change.
    serial: u64,
    users: HashMap<OwnedUserId, User>,
    remote: usize,
    /// When users are to be looked at again.
    deadlines: BTreeSet<(MilliSecondsSinceUnixEpoch, OwnedUserId)>,
    /// Who changed and was not told of yet.
    fresh: BTreeSet<OwnedUserId>,
    /// When that was done last.
    told: Option<MilliSecondsSinceUnixEpoch>,
    sessions: u64,
}

/// A client that syncs; it ends with this.
#[derive(Debug)]
pub(super) struct PresenceSession {
    hub: Arc<Hub>,
    user: OwnedUserId,
    number: u64,
}

impl Drop for PresenceSession {
    fn drop(&mut self) {
        let number = self.number;
        self.hub
            .change(&self.user, |user, now| user.end_session(number, now));
    }
}

impl Presence {
    pub(super) fn new(options: PresenceOptions, clock: Arc<dyn Clock>, serials: Serials) -> Self {
        Self(Arc::new(Hub {
            options,
            clock,
            serials,
            state: Mutex::default(),
            moved: Notify::new(),
            listener: OnceLock::new(),
        }))
    }

    /// Is there presence at all?
    pub fn is_enabled(&self) -> bool {
        self.0.options.enabled
    }

    /// Calls `listener` with every change of a user of this server, and now and then with who goes
    /// on being online. It must not block. Only one can be set.
    pub fn on_change(&self, listener: impl Fn(&UserId, &PresenceStatus) + Send + Sync + 'static) {
        self.0.listener.get_or_init(|| Listener(Box::new(listener)));
    }

    /// What is known of a user.
    pub fn get(&self, user: &UserId) -> Option<PresenceStatus> {
        let now = self.0.clock.now();
        let state = self.0.state.lock();
        let user = state.users.get(user)?;
        Some(user.status(now, &self.0.options))
    }

    /// Takes up what a user of this server was before a restart, unless something is known already.
    pub fn recall(&self, user: &UserId, status: &PresenceStatus) {
        let recalled = User::recalled(status);
        let mut state = self.0.state.lock();
        state.users.entry(user.to_owned()).or_insert(recalled);
    }

    /// A user of this server says what they are.
    pub fn set(&self, user: &UserId, presence: &PresenceState, status_msg: Option<String>) {
        self.0
            .change(user, |user, now| user.choose(presence, status_msg, now));
    }

    /// A user of this server does something.
    pub fn act(&self, user: &UserId) {
        if self.is_enabled() {
            self.0.change_known(user, User::act);
        }
    }

    /// A client of a user of this server syncs, for as long as the session lives.
    pub(super) fn begin(&self, user: &UserId, presence: &PresenceState) -> Option<PresenceSession> {
        if !self.is_enabled() || *presence == PresenceState::Offline {
            return None;
        }
        let number = {
            let mut state = self.0.state.lock();
            state.sessions += 1;
            state.sessions
        };
        let options = self.0.options;
        self.0.change(user, |user, now| {
            user.begin_session(number, presence, now, &options);
        });
        Some(PresenceSession {
            hub: Arc::clone(&self.0),
            user: user.to_owned(),
            number,
        })
    }

    /// Another server says what a user of its is.
    pub fn receive(&self, user: &UserId, news: RemotePresence) {
        if !self.is_enabled() {
            return;
        }
        let has_room = {
            let state = self.0.state.lock();
            state.remote < MAX_REMOTE || state.users.contains_key(user)
        };
        if has_room {
            self.0.change(user, |user, now| user.hear(news, now));
        }
    }

    /// The users who changed after a serial.
    pub(super) fn changed_after(&self, serial: u64) -> Vec<(OwnedUserId, PresenceStatus)> {
        let now = self.0.clock.now();
        let state = self.0.state.lock();
        if state.serial <= serial {
            return Vec::new();
        }
        let users = state.users.iter().filter(|(_, it)| it.serial > serial);
        users
            .map(|(id, user)| (id.clone(), user.status(now, &self.0.options)))
            .collect()
    }

    /// Looks at all whose deadline has passed.
    pub(super) fn expire(&self) {
        let now = self.0.clock.now();
        loop {
            let due = {
                let mut state = self.0.state.lock();
                let is_due = state.deadlines.first().is_some_and(|(at, _)| *at <= now);
                let due = if is_due {
                    state.deadlines.pop_first()
                } else {
                    None
                };
                if let Some(user) = due.as_ref().and_then(|(_, id)| state.users.get_mut(id)) {
                    user.deadline = None;
                }
                due
            };
            let Some((_, user)) = due else { break };
            self.0.change_known(&user, |_, _| {});
        }
    }

    /// Who is to be told of now; the others wait for [`Presence::next_deadline`].
    pub(super) fn take_fresh(&self) -> BTreeSet<OwnedUserId> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        if state.fresh.is_empty() || state.told.is_some_and(|told| later(told, CALM) > now) {
            return BTreeSet::new();
        }
        state.told = Some(now);
        std::mem::take(&mut state.fresh)
    }

    /// When [`Presence::expire`] or [`Presence::take_fresh`] will have something to do.
    pub(super) fn next_deadline(&self) -> Option<MilliSecondsSinceUnixEpoch> {
        let state = self.0.state.lock();
        let first = state.deadlines.first().map(|(at, _)| *at);
        let told = (!state.fresh.is_empty()).then(|| match state.told {
            Some(told) => later(told, CALM),
            None => self.0.clock.now(),
        });
        first.into_iter().chain(told).min()
    }

    /// Waits until the nearest deadline may have moved.
    pub(super) async fn moved(&self) {
        self.0.moved.notified().await;
    }
}

impl Hub {
    /// Changes a user, whoever it is.
    fn change(&self, id: &UserId, change: impl FnOnce(&mut User, MilliSecondsSinceUnixEpoch)) {
        if self.options.enabled {
            self.state
                .lock()
                .users
                .entry(id.to_owned())
                .or_insert_with(User::unknown);
            self.change_known(id, change);
        }
    }

    /// Changes a user of whom something is known; tells of it if others see a difference.
    fn change_known(
        &self,
        id: &UserId,
        change: impl FnOnce(&mut User, MilliSecondsSinceUnixEpoch),
    ) {
        let now = self.clock.now();
        let (mut repeated, mut sooner) = (None, false);
        {
            let mut serial = self.serials.write();
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(user) = state.users.get_mut(id) else {
                return;
            };
            let was_remote = user.is_remote();
            change(user, now);
            state.remote += usize::from(user.is_remote() && !was_remote);
            let status = user.status(now, &self.options);
            if !user.is_told(&status) {
                *serial += 1;
                (user.serial, state.serial) = (*serial, *serial);
                user.tell(&status, now);
                state.fresh.insert(id.to_owned());
                repeated = Some(status);
            } else if user.is_stale(now, REPEAT) {
                user.tell(&status, now);
                repeated = Some(status);
            }
            // One that comes too early is harmless, and cheaper than one for each request.
            let next = user.next_deadline(now, &self.options, REPEAT);
            if let Some(next) = next.filter(|next| user.deadline.is_none_or(|at| *next < at)) {
                if let Some(at) = user.deadline.replace(next) {
                    state.deadlines.remove(&(at, id.to_owned()));
                }
                state.deadlines.insert((next, id.to_owned()));
                sooner = state.deadlines.first().is_some_and(|(at, _)| *at == next);
            }
            sooner |= !state.fresh.is_empty();
            if user.is_remote() {
                repeated = None;
            }
            state.settle();
        }
        if let (Some(status), Some(Listener(listener))) = (repeated, self.listener.get()) {
            listener(id, &status);
        }
        if sooner {
            self.moved.notify_one();
        }
    }
}

impl State {
    /// Forgets who has been offline for longest, when there are too many.
    fn settle(&mut self) {
        if self.users.len() <= 2 * MAX_OFFLINE {
            return;
        }
        let mut offline: Vec<u64> = self.users.values().filter_map(User::forgettable).collect();
        let Some(surplus) = offline.len().checked_sub(MAX_OFFLINE).filter(|it| *it > 0) else {
            return;
        };
        let (_, last, _) = offline.select_nth_unstable(surplus - 1);
        let last = *last;
        self.users
            .retain(|_, user| user.forgettable().is_none_or(|serial| serial > last));
        self.remote = self.users.values().filter(|user| user.is_remote()).count();
    }
}

/// A moment this much later.
fn later(moment: MilliSecondsSinceUnixEpoch, by: Duration) -> MilliSecondsSinceUnixEpoch {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    let by = ruma::UInt::try_from(by).unwrap_or(ruma::UInt::MAX);
    MilliSecondsSinceUnixEpoch(moment.get().saturating_add(by))
}
