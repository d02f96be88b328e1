//! Walks from events of a room into its past, along `prev_events`, for other servers.
//!
//! Most of a room's past stands in the order of its places, so a walk reads whole stretches of
//! places ahead, and asks by id only for what is not among them.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events)

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{
    event::is_aside, pdu::Pdu, room_snapshot::RoomSnapshot, timeline::TimelineEvent,
};
use ruma::{OwnedEventId, ServerName};

use super::{RoomError, Rooms, serving::is_history};

/// The most events that one request may begin at, or end at.
const MAX_ENDS: usize = 50;

/// The most queries of one walk. What a room's shape puts out of its reach is not told: whoever
/// asked asks again from where the answer ends.
const MAX_READS: usize = 24;

/// The most events that a walk steps over for each one that it may tell.
const STEPS_PER_EVENT: usize = 10;

/// The most events that are told of a past.
const MAX_BACKFILL: usize = 100;

/// The most events that are told of a gap.
const MAX_MISSING: usize = 20;

/// The gap that a server wants to have closed.
#[derive(Debug)]
pub struct Gap<'a> {
    /// The events after it.
    pub latest: &'a [OwnedEventId],
    /// The events before it.
    pub earliest: &'a [OwnedEventId],
    /// How many events at most.
    pub limit: usize,
    /// The depth that none of them is below.
    pub min_depth: u64,
}

/// Events of a room by id, as far as a walk came.
struct Past<'a> {
    rooms: &'a Rooms,
    room: &'a RoomSnapshot,
    /// `None` for what the room does not have.
    known: HashMap<OwnedEventId, Option<Arc<TimelineEvent>>>,
    /// How many places one read takes.
    stride: i64,
    /// Below this place, places were not read yet.
    read_to: i64,
    reads_left: usize,
}

impl<'a> Past<'a> {
    fn new(rooms: &'a Rooms, room: &'a RoomSnapshot, limit: usize) -> Self {
        let recent = room.recent.iter();
        Self {
            rooms,
            room,
            known: recent
                .map(|event| (event.pdu.event_id().to_owned(), Some(Arc::clone(event))))
                .collect(),
            stride: i64::try_from(limit).unwrap_or(1).max(16),
            read_to: room.recent.front().map_or(room.head + 1, |event| event.pos),
            reads_left: MAX_READS,
        }
    }

    fn get(&self, id: &OwnedEventId) -> Option<&Arc<TimelineEvent>> {
        self.known.get(id)?.as_ref()
    }

    /// Makes these events known, as far as the room has them and the reads last. `from` is the
    /// lowest place of the events that refer to them.
    async fn learn(
        &mut self,
        ids: impl IntoIterator<Item = &OwnedEventId>,
        from: Option<i64>,
    ) -> Result<(), RoomError> {
        let mut missing: Vec<OwnedEventId> = ids
            .into_iter()
            .filter(|id| !self.known.contains_key(*id))
            .cloned()
            .collect();
        if missing.is_empty() || self.reads_left == 0 {
            return Ok(());
        }
        if let Some(from) = from.filter(|from| !is_aside(*from)) {
            let high = from.min(self.read_to) - 1;
            let low = high - self.stride;
            self.reads_left -= 1;
            self.read_to = low;
            for event in self.rooms.events(self.room, low, high).await? {
                self.known
                    .insert(event.pdu.event_id().to_owned(), Some(event));
            }
            missing.retain(|id| !self.known.contains_key(id));
        }
        if missing.is_empty() || self.reads_left == 0 {
            return Ok(());
        }
        self.reads_left -= 1;
        for event in self.rooms.events_by_id(self.room, &missing).await? {
            self.known
                .insert(event.pdu.event_id().to_owned(), Some(event));
        }
        for id in missing {
            self.known.entry(id).or_insert(None);
        }
        Ok(())
    }

    /// Makes the events known that these refer to.
    async fn learn_prev<'e>(
        &mut self,
        events: impl Iterator<Item = &'e Arc<TimelineEvent>> + Clone,
    ) -> Result<(), RoomError> {
        let from = events.clone().map(|event| event.pos);
        let from = from.filter(|pos| !is_aside(*pos)).min();
        self.learn(events.flat_map(|event| event.pdu.prev_events()), from)
            .await
    }
}

/// Does what is before this event belong to the room's past? What lies aside without being
/// rejected is known without what is before it.
fn leads_on(event: &TimelineEvent) -> bool {
    event.rejected || !is_aside(event.pos)
}

/// An event that a walk has yet to pass: the deepest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ahead(u64, i64, OwnedEventId);

impl Ahead {
    fn of(event: &TimelineEvent) -> Self {
        let id = event.pdu.event_id().to_owned();
        Self(event.pdu.depth(), event.pos, id)
    }
}

impl Rooms {
    /// These events and those before them, the deepest first, as the server may have them. At most
    /// [`MAX_BACKFILL`].
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn backfill_for(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        from: &[OwnedEventId],
        limit: usize,
    ) -> Result<Vec<Arc<Pdu>>, RoomError> {
        let limit = limit.min(MAX_BACKFILL);
        let mut past = Past::new(self, room, limit);
        let from: Vec<_> = from.iter().take(MAX_ENDS).collect();
        past.learn(from.iter().copied(), None).await?;
        let mut passed: HashSet<OwnedEventId> = HashSet::new();
        let mut ahead = BinaryHeap::new();
        for event in from.into_iter().filter_map(|id| past.get(id)) {
            if passed.insert(event.pdu.event_id().to_owned()) {
                ahead.push(Ahead::of(event));
            }
        }
        let mut events = Vec::with_capacity(limit);
        let mut steps_left = limit.saturating_mul(STEPS_PER_EVENT);
        while events.len() < limit && steps_left > 0 {
            steps_left -= 1;
            let Some(Ahead(.., id)) = ahead.pop() else {
                break;
            };
            let Some(event) = past.get(&id).cloned() else {
                continue;
            };
            if leads_on(&event) {
                let prev = event.pdu.prev_events();
                if prev.iter().any(|id| !past.known.contains_key(id)) {
                    // Whatever else is ahead will ask next: one query for all.
                    let others = ahead.iter().filter_map(|Ahead(.., id)| past.get(id));
                    let all: Vec<_> = others.cloned().chain([Arc::clone(&event)]).collect();
                    past.learn_prev(all.iter()).await?;
                }
                for before in prev.iter().filter_map(|id| past.get(id)) {
                    if passed.insert(before.pdu.event_id().to_owned()) {
                        ahead.push(Ahead::of(before));
                    }
                }
            }
            if is_history(&event) {
                events.push(event);
            }
        }
        self.shown_to(room, server, &events).await
    }

    /// The events before the latest that are not before the earliest, breadth first from the
    /// latest, as the server may have them; told with the deepest last. At most [`MAX_MISSING`].
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn missing_for(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        gap: Gap<'_>,
    ) -> Result<Vec<Arc<Pdu>>, RoomError> {
        let limit = gap.limit.min(MAX_MISSING);
        let mut past = Past::new(self, room, limit);
        let latest: Vec<_> = gap.latest.iter().take(MAX_ENDS).collect();
        past.learn(latest.iter().copied(), None).await?;
        let mut passed: HashSet<OwnedEventId> =
            gap.earliest.iter().take(MAX_ENDS).cloned().collect();
        let mut level: Vec<Arc<TimelineEvent>> = Vec::new();
        for event in latest.into_iter().filter_map(|id| past.get(id)) {
            if passed.insert(event.pdu.event_id().to_owned()) {
                level.push(Arc::clone(event));
            }
        }
        let mut events = Vec::with_capacity(limit);
        let mut steps_left = limit.saturating_mul(STEPS_PER_EVENT);
        while !level.is_empty() && events.len() < limit && steps_left > 0 {
            past.learn_prev(level.iter()).await?;
            let prev: BTreeSet<OwnedEventId> = level
                .iter()
                .filter(|event| leads_on(event))
                .flat_map(|event| event.pdu.prev_events())
                .filter(|id| !passed.contains(*id))
                .cloned()
                .collect();
            let next = prev.iter().filter_map(|id| past.get(id));
            let mut next: Vec<_> = next
                .filter(|event| event.pdu.depth() >= gap.min_depth)
                .cloned()
                .collect();
            next.sort_by_key(|event| Reverse((event.pdu.depth(), event.pos)));
            next.truncate(steps_left);
            steps_left -= next.len();
            let told = next.iter().filter(|event| is_history(event));
            events.extend(told.take(limit - events.len()).cloned());
            passed.extend(prev);
            level = next;
        }
        events.sort_by_key(|event| (event.pdu.depth(), event.pos));
        self.shown_to(room, server, &events).await
    }
}
