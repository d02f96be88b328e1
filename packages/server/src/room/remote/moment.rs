//! The event closest to a moment, where that is older than what this server has of a room.

use std::time::Duration;

use matryx_client::outbound::Limits;
use matryx_entity::room_snapshot::RoomSnapshot;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId,
    api::{Direction, federation::event::get_event_by_timestamp},
};

use crate::room::Rooms;

/// The most servers that are asked.
const MAX_ASKED: usize = 3;

/// The bounds of an answer: the client has one to fall back on, or none to lose.
const ANSWER: Limits = Limits {
    time: Duration::from_secs(10),
    body: 64 << 10,
};

impl Rooms {
    /// What other servers of the room know: the first answer that is one.
    pub(in crate::room) async fn event_near_elsewhere(
        &self,
        room: &RoomSnapshot,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Option<(OwnedEventId, MilliSecondsSinceUnixEpoch)> {
        let servers = self.candidates(&room.room_id, &[], None, Some(room));
        for server in servers.iter().take(MAX_ASKED) {
            let room_id = room.room_id.clone();
            let request = get_event_by_timestamp::v1::Request::new(room_id, ts, direction);
            let federation = &self.inner.deps.federation;
            match federation.send_with(server, request, ANSWER).await {
                Ok(found) => return Some((found.event_id, found.origin_server_ts)),
                Err(error) => {
                    tracing::debug!(%server, %error, "a server knows no event near a moment");
                }
            }
        }
        None
    }
}
