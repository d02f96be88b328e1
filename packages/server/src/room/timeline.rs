//! Reading events by place and by id.
//!
//! The newest events come from the room's snapshot; everything else is an exact range of rows or
//! a batch of keys, one query each. Bounds are the caller's: each names how many it asks for.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    event::EventRow,
    key,
    room_snapshot::RoomSnapshot,
    stored::Key,
    stretch::{FIRST_POS, Stretch},
    timeline::TimelineEvent,
};
use ruma::{EventId, OwnedEventId, events::StateEventType};

use super::{RoomError, Rooms};

/// How many places one round of [`Rooms::last_where`] looks at.
const PROBES: i64 = 32;

impl Rooms {
    /// The events from `low` to `high`, both included, oldest first. At most one query.
    pub(super) async fn events(
        &self,
        room: &RoomSnapshot,
        low: i64,
        high: i64,
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        let high = high.min(room.head);
        if low > high {
            return Ok(Vec::new());
        }
        let first_recent = room.recent.front().map_or(room.head + 1, |event| event.pos);
        let mut events = Vec::new();
        if low < first_recent {
            let last_row = high.min(first_recent - 1);
            for row in self.store().events(room.no, low, last_row).await? {
                events.push(TimelineEvent::from_row(row, &room.room_id)?);
            }
        }
        let recent = room.recent.iter();
        events.extend(
            recent
                .filter(|event| (low..=high).contains(&event.pos))
                .cloned(),
        );
        Ok(events)
    }

    /// The event at a place. At most one query.
    pub(super) async fn event_at(
        &self,
        room: &RoomSnapshot,
        pos: i64,
    ) -> Result<Option<Arc<TimelineEvent>>, RoomError> {
        Ok(self.events(room, pos, pos).await?.pop())
    }

    /// The events at several places, by place; those that do not exist are left out. At most one
    /// query.
    pub(super) async fn events_at(
        &self,
        room: &RoomSnapshot,
        places: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<TimelineEvent>>, RoomError> {
        let first_recent = room.recent.front().map_or(room.head + 1, |event| event.pos);
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for pos in places {
            if pos < first_recent {
                missing.push(key![room.no, pos]);
            } else if let Some(event) = room.recent.iter().find(|event| event.pos == pos) {
                found.insert(pos, Arc::clone(event));
            }
        }
        for row in self.rows(&missing).await? {
            found.insert(row.pos, TimelineEvent::from_row(row, &room.room_id)?);
        }
        Ok(found)
    }

    /// An event of this room by its id, if it has a place. At most one query.
    pub(super) async fn event_by_id(
        &self,
        room: &RoomSnapshot,
        event_id: &EventId,
    ) -> Result<Option<Arc<TimelineEvent>>, RoomError> {
        let mut recent = room.recent.iter().rev();
        if let Some(event) = recent.find(|event| event.pdu.event_id() == event_id) {
            return Ok(Some(Arc::clone(event)));
        }
        let mut found = self.events_by_id(room, &[event_id.to_owned()]).await?;
        Ok(found.pop())
    }

    /// Events of this room by their ids; those without a place are left out. At most one query.
    pub(super) async fn events_by_id(
        &self,
        room: &RoomSnapshot,
        event_ids: &[OwnedEventId],
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        if event_ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store().events_by_id(event_ids).await?;
        let rows = rows.into_iter().flatten().filter(|row| row.room == room.no);
        rows.map(|row| Ok(TimelineEvent::from_row(row, &room.room_id)?))
            .collect()
    }

    /// The lowest place that has an event, not counting what came before events with a seam.
    /// Nothing is read for a room that began here.
    pub(super) async fn floor(&self, room: &RoomSnapshot) -> Result<i64, RoomError> {
        let lowest = self.lowest(room, Stretch::FIRST).await?;
        Ok(lowest.unwrap_or(FIRST_POS))
    }

    /// The lowest place of a stretch of history, if there is any event in it.
    pub(super) async fn lowest(
        &self,
        room: &RoomSnapshot,
        stretch: Stretch,
    ) -> Result<Option<i64>, RoomError> {
        let create = room.get(&StateEventType::RoomCreate, "");
        let is_whole = create.is_some_and(|create| create.pos == FIRST_POS);
        let top = stretch.top();
        if is_whole && stretch == Stretch::FIRST || self.event_at(room, top).await?.is_none() {
            return Ok(None);
        }
        let below = |nth: i64| top - nth;
        let last = stretch.places() - 1;
        let fetched = self.last_where(room, (0, last), below, |_| true);
        Ok(fetched.await?.map(below))
    }

    /// The last place from `floor` on whose event `holds`, where it holds up to some place and not
    /// beyond; `None` if it holds nowhere. One query for each factor of 32 of the room's length.
    pub(super) async fn last_event_where(
        &self,
        room: &RoomSnapshot,
        floor: i64,
        holds: impl Fn(&TimelineEvent) -> bool,
    ) -> Result<Option<i64>, RoomError> {
        // The nth event from the floor on; there is no place 0 to count.
        let fetched = (-floor).max(0);
        let place = |nth: i64| {
            if nth < fetched {
                nth - fetched
            } else {
                nth - fetched + 1
            }
        };
        let last = self.last_where(room, (0, room.head + fetched - 1), place, holds);
        Ok(last.await?.map(place))
    }

    async fn last_where(
        &self,
        room: &RoomSnapshot,
        (mut low, mut high): (i64, i64),
        place: impl Fn(i64) -> i64,
        holds: impl Fn(&TimelineEvent) -> bool,
    ) -> Result<Option<i64>, RoomError> {
        let mut last = None;
        while low <= high {
            let stride = (high - low) / PROBES + 1;
            let probes: Vec<i64> = (0..=PROBES)
                .map(|nth| low + nth * stride)
                .take_while(|probe| *probe <= high)
                .collect();
            let places = probes.iter().map(|probe| place(*probe));
            let events = self.events_at(room, places).await?;
            let held = probes.iter().take_while(|probe| {
                let event = events.get(&place(**probe));
                event.is_some_and(|event| holds(event))
            });
            let Some(held) = held.last() else { break };
            last = Some(*held);
            // Between the last that held and the next that was asked, nothing is known yet.
            low = held + 1;
            high = high.min(held + stride - 1);
        }
        Ok(last)
    }

    async fn rows(&self, keys: &[Key]) -> Result<Vec<EventRow>, RoomError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store().get_many::<EventRow>(keys).await?;
        Ok(rows.into_iter().flatten().collect())
    }
}
