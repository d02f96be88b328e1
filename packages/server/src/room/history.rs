//! History that this server did not follow, because it was not in the room or could not keep up:
//! fetched from others when somebody pages back to where it is missing, and put in its stretch, see
//! [`matryx_entity::stretch`].
//!
//! Nothing that is placed here is news: no log entry is written, so that no `/sync` ever shows it.
//! Each event carries what held around it, and the state group after it, and a place once given
//! never changes: pages in either direction stay what they are, whatever comes below them later.
//! The lowest event of a stretch says what is before it and not here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use matryx_entity::{
    event::EventRow,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    server_keys::later,
    stretch::{FIRST_POS, Stretch},
};
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, events::StateEventType};
use tokio::{sync::watch, time::timeout};

use super::{RoomError, Rooms};
use crate::federation::fetch::Fetch;

/// The longest that somebody who pages back waits for other servers.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a room is left alone after nobody had more of it.
const PAUSE: Duration = Duration::from_secs(30);

/// How many events from the one after a gap on are looked at for what is before them: events that
/// were sent at about the same time refer to different events of the same gap.
pub(super) const NEAR_SEAM: i64 = 20;

/// How many events before the lowest one are remembered as missing.
pub(super) const MAX_MISSING: usize = 50;

/// How many rooms are remembered of which nobody had more.
const MAX_PAUSES: usize = 1_000;

/// A stretch of a room.
type Which = (RoomNo, Stretch);

/// The history of rooms that is being fetched. The locks are held for look-ups only; a stretch is
/// forgotten when its fetch ends.
#[derive(Debug, Default)]
pub(super) struct Histories {
    open: Mutex<HashMap<Which, watch::Receiver<()>>>,
    pauses: Mutex<HashMap<Which, MilliSecondsSinceUnixEpoch>>,
}

/// How far down a stretch of history is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bottom {
    /// The stretch.
    pub stretch: Stretch,
    /// Its lowest place that has an event.
    pub lowest: Option<i64>,
    /// What is before that and not here; nothing when the history is whole.
    pub missing: Vec<OwnedEventId>,
}

impl Rooms {
    /// How far down a stretch of history is here. Three queries, none for a room that began here.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn bottom(&self, room: &RoomSnapshot, stretch: Stretch) -> Result<Bottom, RoomError> {
        let lowest = self.lowest(room, stretch).await?;
        let missing = match lowest {
            Some(lowest) => {
                let row: Option<EventRow> = self.store().event_at(room.no, lowest).await?;
                row.map(|row| row.extremities).unwrap_or_default()
            }
            None => self.missing_before(room, stretch.next_pos()).await?,
        };
        Ok(Bottom {
            stretch,
            lowest,
            missing,
        })
    }

    /// What is missing before the event at a place, if anything can be: that this server entered
    /// with, or that has a seam.
    async fn missing_before(
        &self,
        room: &RoomSnapshot,
        pos: i64,
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let oldest = self.events(room, pos, pos + NEAR_SEAM - 1).await?;
        let create = room.get(&StateEventType::RoomCreate, "");
        let is_end = oldest.first().is_some_and(|first| {
            first.seam.is_some()
                || pos == FIRST_POS && create.is_none_or(|create| create.pos != FIRST_POS)
        });
        if !is_end {
            return Ok(Vec::new());
        }
        // From the next seam on, what is missing belongs to another stretch.
        let before_next = oldest
            .iter()
            .take_while(|event| event.pos == pos || event.seam.is_none());
        let prev = before_next.flat_map(|event| event.pdu.prev_events());
        Ok(few(self.without_state(room, prev.cloned()).await?))
    }

    /// Fetches more of a stretch of history, unless that is being done: then it waits for it.
    /// Whether there is more of it here now.
    pub(super) async fn reach_back(
        &self,
        room: &RoomSnapshot,
        stretch: Stretch,
    ) -> Result<bool, RoomError> {
        let histories = &self.inner.histories;
        let which = (room.no, stretch);
        let now = self.clock().now();
        let paused = histories.pauses.lock().get(&which).copied();
        if paused.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let before = self.lowest(room, stretch).await?;
        let mut done = {
            let mut open = histories.open.lock();
            if let Some(done) = open.get(&which) {
                done.clone()
            } else {
                let (over, done) = watch::channel(());
                open.insert(which, done.clone());
                let (rooms, room) = (self.clone(), room.clone());
                // It must not stop half-way when the client goes away, or waits no longer.
                self.inner.deps.tasks.spawn(async move {
                    rooms.fetch_history(&room, stretch).await;
                    rooms.inner.histories.open.lock().remove(&which);
                    drop(over);
                });
                done
            }
        };
        // It fails when the fetch is over, for nothing is ever sent.
        timeout(PATIENCE, done.changed()).await.ok();
        Ok(self.lowest(room, stretch).await? != before)
    }

    async fn fetch_history(&self, room: &RoomSnapshot, stretch: Stretch) {
        let deps = &self.inner.deps;
        let fetch = Fetch::new(self.clone(), deps.key_ring.clone(), deps.federation.clone());
        let fetched = fetch.history(room, stretch).await;
        let mut pauses = self.inner.histories.pauses.lock();
        match fetched {
            Ok(()) => {
                pauses.remove(&(room.no, stretch));
            }
            Err(error) => {
                tracing::info!(room = %room.room_id, %error, "no more of a room's history can be had");
                let now = self.clock().now();
                if pauses.len() >= MAX_PAUSES {
                    pauses.retain(|_, until| now < *until);
                }
                if pauses.len() < MAX_PAUSES {
                    pauses.insert((room.no, stretch), later(now, PAUSE));
                }
            }
        }
    }

    /// What is missing below the lowest of some events.
    pub(super) async fn missing_below(
        &self,
        room: &RoomSnapshot,
        before: &[OwnedEventId],
        placed: &[Arc<matryx_entity::pdu::Pdu>],
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let ids: HashSet<_> = placed.iter().map(|pdu| pdu.event_id()).collect();
        let prev = placed.iter().flat_map(|pdu| pdu.prev_events());
        let candidates = prev.chain(before).filter(|id| !ids.contains(&***id));
        Ok(few(self.without_state(room, candidates.cloned()).await?))
    }
}

/// As many events as are remembered as missing.
fn few(missing: HashSet<OwnedEventId>) -> Vec<OwnedEventId> {
    let mut missing: Vec<OwnedEventId> = missing.into_iter().collect();
    missing.sort_unstable();
    missing.truncate(MAX_MISSING);
    missing
}
