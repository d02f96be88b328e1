//! Who is typing where: in memory only, gone after its deadline or a restart.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
};

use matryx_entity::{clock::Clock, room_no::RoomNo};
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId};
use tokio::sync::Notify;

use super::{rooms::Rooms, serials::Serials, waiters::Waiters};

/// The typing users of every room.
#[derive(Debug)]
pub struct Typing {
    /// Which start of the process the serials belong to; never zero.
    epoch: u16,
    clock: Arc<dyn Clock>,
    rooms: Arc<Rooms>,
    waiters: Waiters,
    serials: Serials,
    /// Guards the lists; held for a few instructions.
    state: Mutex<State>,
    /// Rings when the nearest deadline may have moved.
    pub(super) moved: Notify,
    /// Hears of everybody who types, goes on typing, and stops.
    listener: OnceLock<Listener>,
}

type OnChange = dyn Fn(RoomNo, &UserId, bool) + Send + Sync;

struct Listener(Box<OnChange>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    /// The serial of the newest change of any room.
    serial: u64,
    rooms: HashMap<RoomNo, TypingRoom>,
}

#[derive(Debug, Default)]
struct TypingRoom {
    /// The serial of the newest change of this room.
    serial: u64,
    until: BTreeMap<OwnedUserId, MilliSecondsSinceUnixEpoch>,
}

/// How many rooms without typing users are remembered, so that clients learn that typing ended.
const MAX_QUIET_ROOMS: usize = 4096;

impl Typing {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        rooms: Arc<Rooms>,
        waiters: Waiters,
        serials: Serials,
    ) -> Self {
        let seconds = u64::from(clock.now().get()) / 1000;
        Self {
            epoch: u16::try_from(seconds % u64::from(u16::MAX)).unwrap_or_default() + 1,
            clock,
            rooms,
            waiters,
            serials,
            state: Mutex::default(),
            moved: Notify::new(),
            listener: OnceLock::new(),
        }
    }

    /// Calls `listener` whenever a user types or goes on typing (`true`), and when they stop or
    /// their time is over (`false`). It must not block. Only one can be set.
    pub fn on_change(&self, listener: impl Fn(RoomNo, &UserId, bool) + Send + Sync + 'static) {
        self.listener.get_or_init(|| Listener(Box::new(listener)));
    }

    fn tell(&self, room: RoomNo, user: &UserId, types: bool) {
        if let Some(Listener(listener)) = self.listener.get() {
            listener(room, user, types);
        }
    }

    /// Says that a user types until a moment, or no longer types.
    pub fn set(&self, room: RoomNo, user: &UserId, until: Option<MilliSecondsSinceUnixEpoch>) {
        let changed = {
            let mut serial = self.serials.write();
            let mut state = self.state.lock();
            let typing = state.rooms.entry(room).or_default();
            let changed = match until {
                Some(until) => typing.until.insert(user.to_owned(), until).is_none(),
                None => typing.until.remove(user).is_some(),
            };
            state.settle(room, changed, &mut serial);
            changed
        };
        self.moved.notify_one();
        if changed {
            self.wake(room);
        }
        if changed || until.is_some() {
            self.tell(room, user, until.is_some());
        }
    }

    /// Who types in a room, in the order of their ids.
    pub fn list(&self, room: RoomNo) -> Vec<OwnedUserId> {
        let state = self.state.lock();
        state
            .rooms
            .get(&room)
            .map(|typing| typing.until.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(super) fn epoch(&self) -> u16 {
        self.epoch
    }

    /// The serial of the newest change of a room and who types there; `None` when nothing is known
    /// of the room.
    pub(super) fn room(&self, room: RoomNo) -> Option<(u64, Vec<OwnedUserId>)> {
        let state = self.state.lock();
        let typing = state.rooms.get(&room)?;
        Some((typing.serial, typing.until.keys().cloned().collect()))
    }

    /// The rooms that changed after a serial.
    pub(super) fn changed_after(&self, serial: u64) -> Vec<RoomNo> {
        let state = self.state.lock();
        if state.serial <= serial {
            return Vec::new();
        }
        state
            .rooms
            .iter()
            .filter(|(_, typing)| typing.serial > serial)
            .map(|(room, _)| *room)
            .collect()
    }

    /// Ends what is past its deadline and wakes those who see it.
    pub(super) fn expire(&self) {
        let now = self.clock.now();
        let ended: Vec<(RoomNo, Vec<OwnedUserId>)> = {
            let mut serial = self.serials.write();
            let mut state = self.state.lock();
            let mut ended = Vec::new();
            for (room, typing) in &mut state.rooms {
                let over = typing.until.iter().filter(|(_, until)| **until <= now);
                let over: Vec<OwnedUserId> = over.map(|(user, _)| user.clone()).collect();
                if !over.is_empty() {
                    typing.until.retain(|_, until| *until > now);
                    ended.push((*room, over));
                }
            }
            for (room, _) in &ended {
                state.settle(*room, true, &mut serial);
            }
            ended
        };
        for (room, users) in ended {
            self.wake(room);
            for user in users {
                self.tell(room, &user, false);
            }
        }
    }

    /// The nearest deadline.
    pub(super) fn next_deadline(&self) -> Option<MilliSecondsSinceUnixEpoch> {
        let state = self.state.lock();
        let deadlines = state
            .rooms
            .values()
            .flat_map(|typing| typing.until.values());
        deadlines.min().copied()
    }

    fn wake(&self, room: RoomNo) {
        match self.rooms.cached(room) {
            Some(snapshot) => self.waiters.wake_any_of(&snapshot.local_joined),
            None => self.waiters.wake_where(|_| true),
        }
    }
}

impl State {
    fn settle(&mut self, room: RoomNo, changed: bool, serial: &mut u64) {
        if changed {
            *serial += 1;
            self.serial = *serial;
            let serial = self.serial;
            if let Some(typing) = self.rooms.get_mut(&room) {
                typing.serial = serial;
            }
        }
        let quiet = self.rooms.values().filter(|typing| typing.until.is_empty());
        if self.rooms.len() > MAX_QUIET_ROOMS && quiet.count() > MAX_QUIET_ROOMS {
            let mut serials: Vec<u64> = self.rooms.values().map(|typing| typing.serial).collect();
            let half = serials.len() / 2;
            let oldest = *serials.select_nth_unstable(half).1;
            self.rooms
                .retain(|_, typing| !typing.until.is_empty() || typing.serial > oldest);
        }
    }
}
