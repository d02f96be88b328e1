//! Events: by place, by id, those without a place, and those that wait to be judged.

use matryx_entity::{
    event::{EventPointer, EventRow},
    key,
    room_no::RoomNo,
    staged_event::StagedEvent,
    stored::{Key, Stored},
};
use ruma::{EventId, OwnedEventId};
use surrealdb_types::{Array, Value, Variables};

use crate::{
    codec,
    database::{read, variables},
    error::StoreError,
    range::KeyRange,
    store::Store,
};

/// Pointers and, through them, the events.
const BY_IDS: &str = "
    LET $places = SELECT VALUE [room, pos] FROM $ids;
    SELECT * FROM $places.map(|$place| type::record('event', $place));
";

const STAGED_ROOMS: &str = "SELECT VALUE room FROM staged_event";

/// The slot of the last statement of [`BY_IDS`].
const EVENTS: usize = 1;

impl Store {
    /// The events from place `first` to place `last`, both included, in order: one query. A page
    /// in the other direction is the same range, read from its end.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn events(
        &self,
        room: RoomNo,
        first: i64,
        last: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.range(KeyRange::inclusive(&key![room, first], &key![room, last]))
            .await
    }

    /// The event at a place: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn event_at(&self, room: RoomNo, pos: i64) -> Result<Option<EventRow>, StoreError> {
        self.get(&key![room, pos]).await
    }

    /// An event that has a place, by its id: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn event_by_id(&self, id: &EventId) -> Result<Option<EventRow>, StoreError> {
        let found = self.events_by_id(&[id.to_owned()]).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Events that have a place, each in that of its id: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn events_by_id(
        &self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Option<EventRow>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let pointers: Vec<Value> = ids.iter().map(|id| pointer(id)).collect();
        let pointers = variables([("ids", Value::Array(Array::from(pointers)))]);
        let rows = self
            .database()
            .query(BY_IDS, pointers)
            .await?
            .take(EVENTS)?;
        let Value::Array(rows) = rows else {
            return Ok(vec![None; ids.len()]);
        };
        let mut found = std::collections::HashMap::new();
        for row in rows.into_inner() {
            let row: EventRow = read(row, EventRow::TABLE)?;
            found.insert(row.event_id.clone(), row);
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    /// Where events have their places, each in that of its id: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn event_places(
        &self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Option<EventPointer>>, StoreError> {
        self.get_many(&ids.iter().map(|id| key![id.as_str()]).collect::<Vec<Key>>())
            .await
    }

    /// The events of a room that wait to be judged: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn staged_events(&self, room: RoomNo) -> Result<Vec<StagedEvent>, StoreError> {
        self.range(KeyRange::prefix(&key![room])).await
    }

    /// The room of each event that waits to be judged: one query over all of them.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn rooms_of_staged_events(&self) -> Result<Vec<RoomNo>, StoreError> {
        let found = self.database().query(STAGED_ROOMS, Variables::new()).await;
        let rooms: Vec<i64> = found?.rows(0, StagedEvent::TABLE)?;
        Ok(rooms.into_iter().map(RoomNo).collect())
    }
}

fn pointer(id: &EventId) -> Value {
    Value::RecordId(codec::record_id(EventPointer::TABLE, &key![id.as_str()]))
}
