//! Reading a room's state.
//!
//! A member reads the current state, as does anybody in a world-readable room; somebody who left
//! reads the state as it was when they left.

use ruma::{
    OwnedRoomId, RoomId,
    events::{AnyStateEvent, StateEventType},
    serde::Raw,
};
use serde_json::value::RawValue;

use super::{RoomError, Rooms, state_at::Slots};
use crate::caller::Requester;

/// In which form one slot of the state is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateForm {
    /// Only `content`.
    Content,
    /// The whole event.
    Event,
}

impl Rooms {
    /// The state of a room.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate)
    ///
    /// # Errors
    /// 403 for somebody who is not and never was in the room, unless it is world-readable.
    pub async fn state(
        &self,
        reader: &Requester,
        room_id: &RoomId,
    ) -> Result<Vec<Raw<AnyStateEvent>>, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        let moment = view.moment()?;
        let state = self.state_at(&view.room, moment, Slots::All).await?;
        Ok(self.render_state(&state))
    }

    /// One slot of a room's state.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey)
    ///
    /// # Errors
    /// As [`Rooms::state`]; 404 for an empty slot.
    pub async fn state_event(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        kind: &StateEventType,
        state_key: &str,
        form: StateForm,
    ) -> Result<Box<RawValue>, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        let moment = view.moment()?;
        let slot = Slots::One(kind, state_key);
        let mut state = self.state_at(&view.room, moment, slot).await?;
        let event = state.pop().ok_or(RoomError::NoSuchState)?;
        match form {
            StateForm::Content => Ok(event.pdu.content().to_owned()),
            StateForm::Event => {
                let mut events = self.render_state::<AnyStateEvent>([&event]);
                events
                    .pop()
                    .map(Raw::into_json)
                    .ok_or(RoomError::NoSuchState)
            }
        }
    }

    /// The rooms that a user is joined to.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms)
    ///
    /// # Errors
    /// The database is away.
    pub async fn joined_rooms(&self, reader: &Requester) -> Result<Vec<OwnedRoomId>, RoomError> {
        let user = self.sync().user(&reader.user_id).await?;
        Ok(user.joined().map(|member| member.room_id.clone()).collect())
    }
}
