//! Builds a room's snapshot from the database.
//!
//! A handful of queries whatever the room's age: the state rows, their events in batches, the
//! head, the newest events.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    event::EventRow,
    key,
    room::Room,
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, SlotChange},
    state::StateRow,
    stored::Key,
    timeline::TimelineEvent,
};
use matryx_surrealdb::{KeyRange, Store};
use ruma::{ServerName, events::StateEventType};

use super::{cache::Weigh, error::SyncError};

/// How many records one query fetches by key.
pub(crate) const BATCH: usize = 500;

/// [`RoomSnapshot::MAX_RECENT`] as a distance between places.
const MAX_RECENT: i64 = 64;
const _: () = assert!(RoomSnapshot::MAX_RECENT == 64);

/// How many keys one round of the search for the head probes.
const PROBES: i64 = 16;

/// How far back the history of a room's history visibility is followed.
const MAX_VISIBILITY_CHANGES: usize = 64;

impl Weigh for RoomSnapshot {
    fn weigh(&self) -> u64 {
        // A message of a line is 750 bytes of JSON; with what is parsed of it, its ids and its
        // place in the maps it is about 2,000.
        let events = self.state_len() + self.recent.len();
        (2048 + events * 2000) as u64
    }
}

/// The room as the database has it; `None` if it does not exist.
pub(crate) async fn load_room(
    store: &Store,
    no: RoomNo,
    local: &ServerName,
) -> Result<Option<RoomSnapshot>, SyncError> {
    let Some(room) = store.get::<Room>(&key![no]).await? else {
        return Ok(None);
    };
    let rows: Vec<StateRow> = store.range(KeyRange::prefix(&key![no])).await?;
    let reached = rows.iter().map(|row| row.pos.max(row.since)).max();
    let mut snapshot = RoomSnapshot::empty(no, room.room_id, room.version);
    snapshot.entered = room.entered;
    let mut events = HashMap::new();
    for row in read_newest(store, no, reached.unwrap_or(0)).await? {
        snapshot.head = row.pos;
        snapshot.extremities.clone_from(&row.extremities);
        snapshot.group = row.head_group.unwrap_or(row.group);
        let event = TimelineEvent::from_row(row, &snapshot.room_id)?;
        snapshot.depth = snapshot.depth.max(event.pdu.depth());
        events.insert(event.pos, Arc::clone(&event));
        snapshot.recent.push_back(event);
    }
    load_state_events(store, &snapshot, &rows, &mut events).await?;
    fill_state(store, &mut snapshot, rows, &mut events, local).await?;
    Ok(Some(snapshot))
}

/// Events that were loaded already, by place.
type Loaded = HashMap<i64, Arc<TimelineEvent>>;

/// The highest place that is taken. Places are dense, so that a search by halves finds it; `from`
/// is known to be taken.
async fn find_head(store: &Store, no: RoomNo, from: i64) -> Result<i64, SyncError> {
    let mut taken = from;
    // The first probes double their distance until one is free.
    let mut steps: Vec<i64> = (0..40).map(|power| 1_i64 << power).collect();
    loop {
        let keys: Vec<Key> = steps.iter().map(|step| key![no, taken + step]).collect();
        let found = store
            .get_many::<matryx_entity::event::EventRow>(&keys)
            .await?;
        let count = found.iter().take_while(|row| row.is_some()).count();
        let below = count.checked_sub(1).and_then(|last| steps.get(last));
        let above = steps.get(count).copied();
        let base = taken;
        taken += below.copied().unwrap_or(0);
        let Some(above) = above.map(|step| base + step) else {
            continue;
        };
        let gap = above - taken;
        if gap <= 1 {
            return Ok(taken);
        }
        let stride = (gap / (PROBES + 1)).max(1);
        steps = (1..=PROBES)
            .map(|nth| nth * stride)
            .take_while(|step| *step < gap)
            .chain([gap])
            .collect();
    }
}

/// The newest events, up to the head. `reached` is known to be taken, unless it is zero.
///
/// One query if the head is near, which it is unless nobody has changed the room's state for long.
async fn read_newest(store: &Store, no: RoomNo, reached: i64) -> Result<Vec<EventRow>, SyncError> {
    let (first, last) = (reached - MAX_RECENT + 1, reached + MAX_RECENT);
    let mut rows = read_places(store, no, first, last).await?;
    if rows.last().is_some_and(|row| row.pos == last) {
        let head = find_head(store, no, last).await?;
        rows = read_places(store, no, head - MAX_RECENT + 1, head).await?;
    }
    let surplus = rows.len().saturating_sub(RoomSnapshot::MAX_RECENT);
    rows.drain(..surplus);
    Ok(rows)
}

async fn read_places(
    store: &Store,
    no: RoomNo,
    first: i64,
    last: i64,
) -> Result<Vec<EventRow>, SyncError> {
    let range = KeyRange::inclusive(&key![no, first.max(1)], &key![no, last]);
    Ok(store.range(range).await?)
}

async fn load_state_events(
    store: &Store,
    snapshot: &RoomSnapshot,
    rows: &[StateRow],
    events: &mut Loaded,
) -> Result<(), SyncError> {
    let missing: Vec<Key> = rows
        .iter()
        .filter(|row| !events.contains_key(&row.pos))
        .map(|row| key![snapshot.no, row.pos])
        .collect();
    for keys in missing.chunks(BATCH) {
        for row in store
            .get_many::<EventRow>(keys)
            .await?
            .into_iter()
            .flatten()
        {
            let event = TimelineEvent::from_row(row, &snapshot.room_id)?;
            events.insert(event.pos, event);
        }
    }
    Ok(())
}

async fn fill_state(
    store: &Store,
    snapshot: &mut RoomSnapshot,
    rows: Vec<StateRow>,
    events: &mut Loaded,
    local: &ServerName,
) -> Result<(), SyncError> {
    for row in rows {
        let Some(event) = events.get(&row.pos).cloned() else {
            return Err(SyncError::Inconsistent {
                room: snapshot.no.0,
                what: "an event of the current state is missing",
            });
        };
        let kind = StateEventType::from(row.kind);
        if kind == StateEventType::RoomHistoryVisibility && row.state_key.is_empty() {
            for earlier in earlier_holders(store, snapshot, &event).await? {
                let since = earlier.pos;
                let change = SlotChange {
                    kind: kind.clone(),
                    state_key: String::new(),
                    event: Some(earlier),
                };
                snapshot.set_slot(change, since, local);
            }
        }
        snapshot.depth = snapshot.depth.max(event.pdu.depth());
        let change = SlotChange {
            kind,
            state_key: row.state_key,
            event: Some(event),
        };
        snapshot.set_slot(change, row.since, local);
    }
    Ok(())
}

/// The events that held the slot of `event` before it, oldest first.
async fn earlier_holders(
    store: &Store,
    snapshot: &RoomSnapshot,
    event: &Arc<TimelineEvent>,
) -> Result<Vec<Arc<TimelineEvent>>, SyncError> {
    let mut holders = Vec::new();
    let mut replaced = event.replaces;
    while let Some(pos) = replaced
        && holders.len() < MAX_VISIBILITY_CHANGES
    {
        let Some(row) = store.get::<EventRow>(&key![snapshot.no, pos]).await? else {
            break;
        };
        let earlier = TimelineEvent::from_row(row, &snapshot.room_id)?;
        // A damaged chain must not turn in circles.
        replaced = earlier.replaces.filter(|before| *before < pos);
        holders.push(earlier);
    }
    holders.reverse();
    Ok(holders)
}
