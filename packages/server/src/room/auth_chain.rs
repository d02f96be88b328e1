//! Reading auth chains: level by level, each as one batch.
//!
//! A chain is as deep as the longest row of changes of one thing, such as the names that one user
//! went by. So that a room that somebody filled with those does not cost a query for each, the
//! walk reads ahead once it is deep: such changes stand near each other.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{event::is_aside, room_snapshot::RoomSnapshot, timeline::TimelineEvent};
use ruma::OwnedEventId;

use super::{RoomError, Rooms};

/// How many levels are read without looking ahead: deeper than chains of usual rooms.
const SHALLOW: u32 = 8;

/// How many places one look ahead reads.
const AHEAD: i64 = 256;

/// How many events one query fetches by id.
const BATCH: usize = 500;

/// A walk over auth chains.
pub(super) struct ChainWalk<'a> {
    rooms: &'a Rooms,
    room: &'a RoomSnapshot,
    levels: u32,
    /// State events that were read ahead.
    ahead: HashMap<OwnedEventId, Arc<TimelineEvent>>,
    /// Below this place, nothing was read ahead yet.
    read_to: i64,
    /// The lowest place of the last level.
    lowest: Option<i64>,
}

impl<'a> ChainWalk<'a> {
    pub(super) fn new(rooms: &'a Rooms, room: &'a RoomSnapshot) -> Self {
        Self {
            rooms,
            room,
            levels: 0,
            ahead: HashMap::new(),
            read_to: room.head + 1,
            lowest: None,
        }
    }

    /// The next level: these events, as far as the room has them.
    pub(super) async fn level(
        &mut self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        let mut missing: HashSet<&OwnedEventId> = ids.iter().collect();
        let mut found = Vec::with_capacity(missing.len());
        self.take(&mut missing, &mut found);
        if !missing.is_empty() && self.levels >= SHALLOW {
            self.look_ahead().await?;
            self.take(&mut missing, &mut found);
        }
        let missing: Vec<OwnedEventId> = missing.into_iter().cloned().collect();
        for ids in missing.chunks(BATCH) {
            found.extend(self.rooms.events_by_id(self.room, ids).await?);
        }
        self.levels += 1;
        let places = found.iter().map(|event| event.pos);
        self.lowest = places.filter(|pos| !is_aside(*pos)).min();
        Ok(found)
    }

    fn take(&self, missing: &mut HashSet<&OwnedEventId>, found: &mut Vec<Arc<TimelineEvent>>) {
        missing.retain(|id| match self.ahead.get(*id) {
            Some(event) => {
                found.push(Arc::clone(event));
                false
            }
            None => true,
        });
    }

    async fn look_ahead(&mut self) -> Result<(), RoomError> {
        // What lies aside stands in no order.
        let Some(lowest) = self.lowest else {
            return Ok(());
        };
        let high = lowest.min(self.read_to) - 1;
        let low = high - AHEAD + 1;
        self.read_to = low;
        for event in self.rooms.events(self.room, low, high).await? {
            if event.pdu.state_key().is_some() {
                let id = event.pdu.event_id().to_owned();
                self.ahead.insert(id, event);
            }
        }
        Ok(())
    }
}
