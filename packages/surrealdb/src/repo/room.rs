//! Rooms, their aliases, their directory entries, and where their timelines end.

use matryx_entity::{
    event::EventRow,
    key,
    room::{Alias, PublishedRoom, Room, RoomPointer},
    room_no::RoomNo,
    stored::Stored,
};
use ruma::{RoomAliasId, RoomId};
use surrealdb_types::{Array, Number, Value, Variables};

use crate::{codec, database::variables, error::StoreError, store::Store};

const ALIASES: &str = "SELECT * FROM alias WHERE room = $room";

const PUBLISHED: &str = "SELECT * FROM published_room";

const NUMBERS: &str = "SELECT VALUE no FROM room";

const POSITIONS: &str = "SELECT VALUE pos FROM $ids";

/// How many places one round of the search for a room's head asks for.
const PROBES: i64 = 32;

impl Store {
    /// A room by its number: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn room(&self, room: RoomNo) -> Result<Option<Room>, StoreError> {
        self.get(&key![room]).await
    }

    /// A room by its id: two reads.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn room_by_id(&self, room_id: &RoomId) -> Result<Option<Room>, StoreError> {
        match self.get::<RoomPointer>(&key![room_id.as_str()]).await? {
            Some(pointer) => self.room(pointer.no).await,
            None => Ok(None),
        }
    }

    /// The highest taken place of a room's timeline, zero if there is none. `known` is a place
    /// that is known to be taken, or zero. One query if nothing came after it, two or three
    /// otherwise.
    ///
    /// Places are dense, so that a search by parts finds the last one.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn room_head(&self, room: RoomNo, known: i64) -> Result<i64, StoreError> {
        let mut taken = known.max(0);
        let mut steps: Vec<i64> = (0..PROBES).map(|power| 1 << power).collect();
        loop {
            let places: Vec<i64> = steps.iter().map(|step| taken + step).collect();
            let found = self.taken_places(room, &places).await?;
            let count = places
                .iter()
                .take_while(|place| found.contains(place))
                .count();
            let above = places.get(count).copied();
            taken = count
                .checked_sub(1)
                .and_then(|last| places.get(last))
                .copied()
                .unwrap_or(taken);
            let Some(above) = above else { continue };
            let gap = above - taken - 1;
            if gap == 0 {
                return Ok(taken);
            }
            let stride = (gap / PROBES).max(1);
            steps = (1..=PROBES)
                .map(|nth| nth * stride)
                .take_while(|step| *step <= gap)
                .chain([gap + 1])
                .collect();
            steps.dedup();
        }
    }

    async fn taken_places(&self, room: RoomNo, places: &[i64]) -> Result<Vec<i64>, StoreError> {
        let id =
            |place: &i64| Value::RecordId(codec::record_id(EventRow::TABLE, &key![room, *place]));
        let ids = Value::Array(Array::from(places.iter().map(id).collect::<Vec<_>>()));
        self.database()
            .query(POSITIONS, variables([("ids", ids)]))
            .await?
            .rows(0, EventRow::TABLE)
    }

    /// A local alias: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn alias(&self, alias: &RoomAliasId) -> Result<Option<Alias>, StoreError> {
        self.get(&key![alias.as_str()]).await
    }

    /// The local aliases of a room, in no order: one query by an index.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn aliases_of_room(&self, room: RoomNo) -> Result<Vec<Alias>, StoreError> {
        let room = Value::Number(Number::Int(room.0));
        self.database()
            .query(ALIASES, variables([("room", room)]))
            .await?
            .rows(0, Alias::TABLE)
    }

    /// The numbers of all rooms, in no order: one query over all of them.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn room_numbers(&self) -> Result<Vec<RoomNo>, StoreError> {
        let mut response = self.database().query(NUMBERS, Variables::new()).await?;
        response.rows(0, Room::TABLE)
    }

    /// Whether a room is listed in the directory: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn is_published(&self, room: RoomNo) -> Result<bool, StoreError> {
        Ok(self.get::<PublishedRoom>(&key![room]).await?.is_some())
    }

    /// All rooms that are listed in the directory, by number: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn published_rooms(&self) -> Result<Vec<PublishedRoom>, StoreError> {
        let mut response = self.database().query(PUBLISHED, Variables::new()).await?;
        response.rows(0, PublishedRoom::TABLE)
    }
}
