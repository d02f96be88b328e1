//! The event closest to a moment.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event)

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId,
    api::{Direction, client::filter::RoomEventFilter},
};

use super::{RoomError, Rooms, messages::Way};
use crate::caller::Requester;

/// How many events around the moment are looked at. Events stand in the order of their arrival,
/// and their senders' clocks differ a little.
const NEIGHBORS: usize = 100;

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
    ) -> Result<(OwnedEventId, MilliSecondsSinceUnixEpoch), RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        view.moment()?;
        let floor = self.floor(&view.room).await?;
        let before = self
            .last_event_where(&view.room, floor, |event| match direction {
                Direction::Forward => event.pdu.origin_server_ts() < ts,
                Direction::Backward => event.pdu.origin_server_ts() <= ts,
            })
            .await?;
        let way = Way {
            direction,
            from: before.unwrap_or(floor - 1),
            to: None,
            floor,
            limit: NEIGHBORS,
        };
        let walk = self.walk(&view, way, &RoomEventFilter::default()).await?;
        walk.events
            .iter()
            .map(|event| (event.pdu.event_id(), event.pdu.origin_server_ts()))
            .find(|(_, found)| match direction {
                Direction::Forward => *found >= ts,
                Direction::Backward => *found <= ts,
            })
            .map(|(event_id, found)| (event_id.to_owned(), found))
            .ok_or(RoomError::NoEventNear)
    }
}
