//! Events of a room by place: from the recent ones, from those that were asked for lately, or
//! with one query.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    event::{EventPointer, EventRow},
    key,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    state::{StateGroup, StateGroupSlot},
    stored::Key,
    timeline::TimelineEvent,
};
use matryx_surrealdb::KeyRange;
use ruma::OwnedEventId;

use super::{cache::Weigh, engine::SyncEngine, error::SyncError, follower::read_many};

/// The place of an event.
pub(crate) type Place = (RoomNo, i64);

impl Weigh for TimelineEvent {
    fn weigh(&self) -> u64 {
        (600 + 2 * self.pdu.json().len()) as u64
    }
}

impl SyncEngine {
    /// The events at some places of a room. Places that do not exist are left out.
    pub(crate) async fn events_at(
        &self,
        room: &RoomSnapshot,
        places: &[i64],
    ) -> Result<HashMap<i64, Arc<TimelineEvent>>, SyncError> {
        let mut events = HashMap::with_capacity(places.len());
        let mut missing = Vec::new();
        let first = room.recent.front().map_or(i64::MAX, |event| event.pos);
        for pos in places {
            let recent = usize::try_from(pos.saturating_sub(first))
                .ok()
                .and_then(|index| room.recent.get(index));
            match recent
                .cloned()
                .or_else(|| self.inner.events.get(&(room.no, *pos)))
            {
                Some(event) => {
                    events.insert(*pos, event);
                }
                None => missing.push(*pos),
            }
        }
        let keys: Vec<Key> = missing.iter().map(|pos| key![room.no, *pos]).collect();
        for row in read_many::<EventRow>(&self.inner.store, &keys)
            .await?
            .into_iter()
            .flatten()
        {
            let event = TimelineEvent::from_row(row, &room.room_id)?;
            let place = (room.no, event.pos);
            self.inner
                .events
                .publish(&place, Arc::clone(&event), |_| false);
            events.insert(event.pos, event);
        }
        Ok(events)
    }

    /// The events of a state group: a few queries, whose cost is that of the state.
    pub(crate) async fn state_of_group(
        &self,
        room: &RoomSnapshot,
        group: i64,
    ) -> Result<Vec<Arc<TimelineEvent>>, SyncError> {
        let ids = self.ids_of_group(room.no, group).await?;
        let store = &self.inner.store;
        let keys: Vec<Key> = ids.map(|id| key![id.as_str()]).collect();
        let pointers = read_many::<EventPointer>(store, &keys).await?;
        let places: Vec<i64> = pointers
            .into_iter()
            .flatten()
            .map(|pointer| pointer.pos)
            .collect();
        let events = self.events_at(room, &places).await?.into_values().collect();
        Ok(events)
    }

    async fn ids_of_group(
        &self,
        room: RoomNo,
        group: i64,
    ) -> Result<impl ExactSizeIterator<Item = OwnedEventId>, SyncError> {
        let missing = SyncError::Inconsistent {
            room: room.0,
            what: "a state group is missing",
        };
        let store = &self.inner.store;
        let Some(newest) = store.get::<StateGroup>(&key![room, group]).await? else {
            return Err(missing);
        };
        let mut chain = vec![newest];
        if let Some(newest) = chain.first().filter(|newest| newest.prev.is_some()) {
            let range = KeyRange::inclusive(&key![room, newest.base], &key![room, group]);
            let groups: Vec<StateGroup> = store.range(range).await?;
            let mut by_number: HashMap<i64, StateGroup> = groups
                .into_iter()
                .map(|group| (group.group, group))
                .collect();
            while let Some(prev) = chain.last().and_then(|group| group.prev) {
                let Some(group) = by_number.remove(&prev) else {
                    return Err(missing);
                };
                chain.push(group);
            }
        }
        let mut slots = HashMap::new();
        for group in chain.into_iter().rev() {
            for slot in group.unset {
                slots.remove(&slot);
            }
            let set = group.set.into_iter();
            slots.extend(set.map(|(kind, key, event): StateGroupSlot| ((kind, key), event)));
        }
        Ok(slots.into_values())
    }
}
