//! Saying that one types.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid)

use std::time::Duration;

use ruma::{MilliSecondsSinceUnixEpoch, RoomId, UInt, UserId};

use super::{RoomError, Rooms};
use crate::caller::Requester;

/// The longest time for which somebody types without saying so again.
const MAX_TYPING: Duration = Duration::from_mins(2);

impl Rooms {
    /// Notes that a user types for some time, or (without a time) no longer does. Nothing is
    /// stored.
    ///
    /// # Errors
    /// 403 for another user's typing and for somebody who is not in the room.
    pub async fn set_typing(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        user_id: &UserId,
        lasts: Option<Duration>,
    ) -> Result<(), RoomError> {
        if reader.user_id != user_id {
            return Err(RoomError::Forbidden(
                "You may not set another user's typing state".to_owned(),
            ));
        }
        let view = self.joined_view(room_id, user_id).await?;
        let until = lasts.map(|lasts| {
            let lasts = UInt::try_from(lasts.min(MAX_TYPING).as_millis()).unwrap_or_default();
            MilliSecondsSinceUnixEpoch(self.clock().now().get().saturating_add(lasts))
        });
        self.sync().typing().set(view.room.no, user_id, until);
        self.sync().presence().act(user_id);
        Ok(())
    }
}
