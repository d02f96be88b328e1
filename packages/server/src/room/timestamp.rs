//! The event closest to a moment.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event)

use matryx_entity::{event::is_aside, room_snapshot::RoomSnapshot};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, ServerName,
    api::{Direction, client::filter::RoomEventFilter},
    events::StateEventType,
};

use super::{RoomError, Rooms, serving::is_history, view::View, walk::Way};
use crate::caller::Requester;

/// How many events around the moment are looked at. Events stand in the order of their arrival,
/// and their senders' clocks differ a little.
const NEIGHBORS: usize = 100;

/// [`NEIGHBORS`] as a distance between places.
const WINDOW: i64 = 100;
const _: () = assert!(NEIGHBORS == 100);

/// How often a search for a server goes on where there is nothing that it may see.
const MAX_WINDOWS: usize = 10;

/// An event and its time.
type Found = (OwnedEventId, MilliSecondsSinceUnixEpoch);

impl Rooms {
    /// The first event that the reader may see at or after a moment, or the last one at or before
    /// it.
    ///
    /// # Errors
    /// 403 for somebody who is not and never was in the room, unless it is world-readable; 404
    /// when there is no such event.
    pub async fn event_near(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Found, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        view.moment()?;
        let found = self.event_near_here(&view, ts, direction).await?;
        // It is older than what is here of the room, or in a gap: others may know a closer event.
        let is_torn = found.as_ref().is_none_or(|(_, is_torn)| *is_torn);
        if is_torn && view.is_joined() && began_elsewhere(&view.room) {
            let elsewhere = self.event_near_elsewhere(&view.room, ts, direction).await;
            let elsewhere = elsewhere.filter(|(_, found)| is_on_side(*found, ts, direction));
            let here = found.as_ref().map(|((_, found), _)| *found);
            let is_closer = |found: MilliSecondsSinceUnixEpoch| match direction {
                Direction::Forward => here.is_none_or(|here| found < here),
                Direction::Backward => here.is_none_or(|here| found > here),
            };
            if let Some(elsewhere) = elsewhere.filter(|(_, found)| is_closer(*found)) {
                return Ok(elsewhere);
            }
        }
        let (found, _) = found.ok_or(RoomError::NoEventNear)?;
        Ok(found)
    }

    /// What is here, and whether history is missing at the moment.
    async fn event_near_here(
        &self,
        view: &View,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Option<(Found, bool)>, RoomError> {
        let floor = self.floor(&view.room).await?;
        let before = self.last_before(&view.room, floor, ts, direction).await?;
        let way = Way {
            direction,
            from: before.unwrap_or(floor - 1),
            to: None,
            floor,
            limit: NEIGHBORS,
        };
        let filter = RoomEventFilter::default();
        let walk = self.walk_here(view, way, &filter).await?;
        let found = walk
            .events
            .iter()
            .map(|event| (event.pdu.event_id(), event.pdu.origin_server_ts()))
            .find(|(_, found)| is_on_side(*found, ts, direction))
            .map(|(event_id, found)| (event_id.to_owned(), found));
        let is_torn = match before {
            Some(before) => self.has_gap_after(&view.room, before).await?,
            None => true,
        };
        Ok(found.map(|found| (found, is_torn)))
    }

    /// May there be more events after the one at a place than are here?
    async fn has_gap_after(&self, room: &RoomSnapshot, pos: i64) -> Result<bool, RoomError> {
        let next = self.event_at(room, pos + 1).await?;
        Ok(next.is_some_and(|event| event.gap().is_some()))
    }

    /// The same for a server that is in the room. It looks at most [`MAX_WINDOWS`] times as far.
    ///
    /// # Errors
    /// 404 when there is no such event.
    pub async fn event_near_for(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Found, RoomError> {
        let floor = self.floor(room).await?;
        let before = self.last_before(room, floor, ts, direction).await?;
        let mut gap = before.unwrap_or(floor - 1);
        for _ in 0..MAX_WINDOWS {
            let (low, high) = match direction {
                Direction::Forward => (gap + 1, gap + WINDOW),
                Direction::Backward => (gap - WINDOW + 1, gap),
            };
            if high < floor || low > room.head {
                break;
            }
            let mut events = self.events(room, low.max(floor), high).await?;
            gap = match direction {
                Direction::Forward => high,
                Direction::Backward => low - 1,
            };
            if direction == Direction::Backward {
                events.reverse();
            }
            events.retain(|event| {
                is_history(event) && is_on_side(event.pdu.origin_server_ts(), ts, direction)
            });
            let seen = self.seen_by(room, server, &events).await?;
            let mut seen = events.iter().zip(seen).filter(|(_, seen)| *seen);
            if let Some((event, _)) = seen.next() {
                let event_id = event.pdu.event_id().to_owned();
                return Ok((event_id, event.pdu.origin_server_ts()));
            }
        }
        Err(RoomError::NoEventNear)
    }

    /// The place after which the events of the wanted side begin, by the order of their arrival.
    async fn last_before(
        &self,
        room: &RoomSnapshot,
        floor: i64,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Option<i64>, RoomError> {
        self.last_event_where(room, floor, |event| match direction {
            Direction::Forward => event.pdu.origin_server_ts() < ts,
            Direction::Backward => event.pdu.origin_server_ts() <= ts,
        })
        .await
    }
}

/// Does this server lack the beginning of the room?
fn began_elsewhere(room: &RoomSnapshot) -> bool {
    room.get(&StateEventType::RoomCreate, "")
        .is_none_or(|create| is_aside(create.pos))
}

fn is_on_side(
    found: MilliSecondsSinceUnixEpoch,
    ts: MilliSecondsSinceUnixEpoch,
    direction: Direction,
) -> bool {
    match direction {
        Direction::Forward => found >= ts,
        Direction::Backward => found <= ts,
    }
}
