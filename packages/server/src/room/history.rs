//! History from before this server came to a room: fetched from others when somebody pages back to
//! where the room begins here, and put below everything else, at the places −1, −2 …
//!
//! Nothing that is placed here is news: no log entry is written, so that no `/sync` ever shows it.
//! Each event carries what held around it, and the state group after it, and a place once given
//! never changes: pages in either direction stay what they are, whatever comes below them later.
//! The lowest event says what is before it and not here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use matryx_entity::{
    event::EventRow, room_no::RoomNo, room_snapshot::RoomSnapshot, server_keys::later,
};
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, events::StateEventType};
use tokio::{sync::watch, time::timeout};

use super::{
    RoomError, Rooms,
    messages::{Walk, Way},
    timeline::FIRST_POS,
    view::View,
};
use crate::federation::fetch::Fetch;

/// The longest that somebody who pages back waits for other servers.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a room is left alone after nobody had more of it.
const PAUSE: Duration = Duration::from_secs(30);

/// How often one page reaches back at most.
const MAX_REACHES: usize = 3;

/// How many of the oldest events from before are looked at for what is before them.
const OLDEST: i64 = 20;

/// How many events before the lowest one are remembered as missing.
pub(super) const MAX_MISSING: usize = 50;

/// How many rooms are remembered of which nobody had more.
const MAX_PAUSES: usize = 1_000;

/// The history of rooms that is being fetched. The locks are held for look-ups only; a room is
/// forgotten when its fetch ends.
#[derive(Debug, Default)]
pub(super) struct Histories {
    open: Mutex<HashMap<RoomNo, watch::Receiver<()>>>,
    pauses: Mutex<HashMap<RoomNo, MilliSecondsSinceUnixEpoch>>,
}

/// Where the timeline of a room begins here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bottom {
    /// The lowest place.
    pub floor: i64,
    /// What is before it and not here; nothing when the history is whole.
    pub missing: Vec<OwnedEventId>,
}

impl Rooms {
    /// Where the timeline of a room begins here. Three queries, none for a room that began here.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn bottom(&self, room: &RoomSnapshot) -> Result<Bottom, RoomError> {
        let floor = self.floor(room).await?;
        let whole = Bottom {
            floor,
            missing: Vec::new(),
        };
        if floor < FIRST_POS {
            let row: Option<EventRow> = self.store().event_at(room.no, floor).await?;
            return Ok(Bottom {
                floor,
                missing: row.map(|row| row.extremities).unwrap_or_default(),
            });
        }
        let create = room.get(&StateEventType::RoomCreate, "");
        if create.is_some_and(|create| create.pos == FIRST_POS) {
            return Ok(whole);
        }
        let oldest = self.events(room, FIRST_POS, OLDEST).await?;
        let prev = oldest.iter().flat_map(|event| event.pdu.prev_events());
        let missing = self.without_state(room, prev.cloned()).await?;
        let mut missing: Vec<OwnedEventId> = missing.into_iter().collect();
        missing.sort_unstable();
        missing.truncate(MAX_MISSING);
        Ok(Bottom { missing, ..whole })
    }

    /// Walks back over a timeline, and where it ends here goes on with what other servers have of
    /// it. Says whether there is nothing more, here or elsewhere.
    pub(super) async fn walk_back(
        &self,
        view: &View,
        mut way: Way,
        filter: &ruma::api::client::filter::RoomEventFilter,
    ) -> Result<Walk, RoomError> {
        let mut walk = self.walk(view, way, filter).await?;
        for _ in 0..MAX_REACHES {
            let reaches_bottom = way.to.is_none_or(|to| to < way.floor);
            if walk.events.len() >= way.limit || !walk.exhausted || !reaches_bottom {
                break;
            }
            let bottom = self.bottom(&view.room).await?;
            if bottom.missing.is_empty() && bottom.floor >= way.floor {
                return Ok(walk);
            }
            if bottom.floor >= way.floor && !self.reach_back(&view.room).await? {
                // There is more, but nobody gives it now.
                walk.exhausted = false;
                return Ok(walk);
            }
            way.floor = self.floor(&view.room).await?;
            way.from = walk.gap;
            let rest = Way {
                limit: way.limit - walk.events.len(),
                ..way
            };
            let more = self.walk(view, rest, filter).await?;
            walk.events.extend(more.events);
            walk.gap = more.gap;
            walk.exhausted = more.exhausted;
        }
        if walk.exhausted && way.to.is_none_or(|to| to < way.floor) {
            let bottom = self.bottom(&view.room).await?;
            walk.exhausted = bottom.missing.is_empty() && bottom.floor >= way.floor;
        }
        Ok(walk)
    }

    /// Fetches more of a room's history, unless that is being done: then it waits for it. Whether
    /// there is more of it here now.
    async fn reach_back(&self, room: &RoomSnapshot) -> Result<bool, RoomError> {
        let histories = &self.inner.histories;
        let now = self.clock().now();
        let paused = histories.pauses.lock().get(&room.no).copied();
        if paused.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let before = self.floor(room).await?;
        let mut done = {
            let mut open = histories.open.lock();
            if let Some(done) = open.get(&room.no) {
                done.clone()
            } else {
                let (over, done) = watch::channel(());
                open.insert(room.no, done.clone());
                let (rooms, room) = (self.clone(), room.clone());
                // It must not stop half-way when the client goes away, or waits no longer.
                self.inner.deps.tasks.spawn(async move {
                    rooms.fetch_history(&room).await;
                    rooms.inner.histories.open.lock().remove(&room.no);
                    drop(over);
                });
                done
            }
        };
        // It fails when the fetch is over, for nothing is ever sent.
        timeout(PATIENCE, done.changed()).await.ok();
        Ok(self.floor(room).await? < before)
    }

    async fn fetch_history(&self, room: &RoomSnapshot) {
        let deps = &self.inner.deps;
        let fetch = Fetch::new(self.clone(), deps.key_ring.clone(), deps.federation.clone());
        let fetched = fetch.history(room).await;
        let mut pauses = self.inner.histories.pauses.lock();
        match fetched {
            Ok(()) => {
                pauses.remove(&room.no);
            }
            Err(error) => {
                tracing::info!(room = %room.room_id, %error, "no more of a room's history can be had");
                let now = self.clock().now();
                if pauses.len() >= MAX_PAUSES {
                    pauses.retain(|_, until| now < *until);
                }
                if pauses.len() < MAX_PAUSES {
                    pauses.insert(room.no, later(now, PAUSE));
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
        let missing = self.without_state(room, candidates.cloned()).await?;
        let mut missing: Vec<OwnedEventId> = missing.into_iter().collect();
        missing.sort_unstable();
        missing.truncate(MAX_MISSING);
        Ok(missing)
    }
}
