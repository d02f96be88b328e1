//! Who looks at a room, and which moment of it they see.
//!
//! A member sees the room as it is; somebody who left sees its state as it was then; anybody sees
//! a room that is world-readable now. Single events are judged by
//! [`matryx_entity::visibility::Viewer`] alone.

use std::sync::Arc;

use matryx_client::sync::UserView;
use matryx_entity::{
    member::Member, room_snapshot::RoomSnapshot, timeline::TimelineEvent, visibility::Viewer,
};
use ruma::{
    RoomId, UserId,
    events::room::{history_visibility::HistoryVisibility, member::MembershipState},
};

use super::{RoomError, Rooms, visible::Visible};

/// One user's look at one room.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The room now.
    pub(super) room: Arc<RoomSnapshot>,
    /// The user now.
    pub(super) user: Arc<UserView>,
}

/// Which state of the room somebody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The current one.
    Now,
    /// The one after the event at this place.
    After(i64),
}

impl View {
    /// The user's membership record, unless they forgot the room: its history is gone for them.
    pub(super) fn member(&self) -> Option<&Member> {
        let member = self.user.member(self.room.no)?;
        (!member.forgotten).then_some(&**member)
    }

    /// Judges single events.
    pub(super) fn viewer(&self) -> Viewer<'_> {
        Viewer::new(&self.user.user, self.member(), &self.room)
    }

    /// Is the user in the room now?
    pub(super) fn is_joined(&self) -> bool {
        self.member()
            .is_some_and(|member| member.membership == MembershipState::Join)
    }

    /// May anybody look at the room now?
    pub(super) fn is_world_readable(&self) -> bool {
        self.room.visibility_at(self.room.head) == HistoryVisibility::WorldReadable
    }

    /// Where the user was last joined until, if they left and did not forget the room.
    fn left_at(&self) -> Option<i64> {
        let member = self.member()?;
        let joined = member
            .spans
            .iter()
            .rposition(|(_, membership)| *membership == MembershipState::Join)?;
        member.spans.get(joined + 1).map(|(pos, _)| *pos)
    }

    /// The state that the user may read.
    ///
    /// # Errors
    /// [`RoomError::NotInRoom`] when there is none.
    pub(super) fn moment(&self) -> Result<Moment, RoomError> {
        if self.is_joined() || self.is_world_readable() {
            return Ok(Moment::Now);
        }
        self.left_at()
            .map(Moment::After)
            .ok_or_else(|| RoomError::NotInRoom(self.room.room_id.clone()))
    }

    /// Where in the timeline there may be something that the user sees.
    pub(super) fn visible(&self) -> Visible {
        Visible::of(self.member(), &self.room)
    }

    /// Does the user want to see this event in a list? Events of ignored users are left out, but
    /// for state, without which the room can't be understood.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-13)
    pub(super) fn wants(&self, event: &TimelineEvent) -> bool {
        event.pdu.state_key().is_some() || !self.user.ignored.contains(event.pdu.sender())
    }
}

impl Rooms {
    /// A user's look at a room that the server knows; otherwise as if the user were not in it, so
    /// that nobody learns which rooms there are.
    ///
    /// # Errors
    /// [`RoomError::NotInRoom`] for an unknown room.
    pub(super) async fn view(&self, room_id: &RoomId, user: &UserId) -> Result<View, RoomError> {
        let Some(room) = self.sync().room_by_id(room_id).await? else {
            return Err(RoomError::NotInRoom(room_id.to_owned()));
        };
        let user = self.sync().user(user).await?;
        Ok(View { room, user })
    }

    /// Like [`Rooms::view`], of a user who must be in the room now.
    ///
    /// # Errors
    /// [`RoomError::NotInRoom`] when the user is not.
    pub(super) async fn joined_view(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<View, RoomError> {
        let view = self.view(room_id, user).await?;
        if view.is_joined() {
            Ok(view)
        } else {
            Err(RoomError::NotInRoom(room_id.to_owned()))
        }
    }
}
