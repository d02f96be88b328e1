//! One room of `rooms.invite` or `rooms.knock`: what somebody outside may know of it.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)

use std::sync::Arc;

use matryx_entity::{client_event::to_stripped_raw, member::Member, room_snapshot::RoomSnapshot};
use ruma::{
    api::client::sync::sync_events::v3::{InvitedRoom, KnockState, KnockedRoom},
    events::{AnyStrippedStateEvent, StateEventType},
    serde::Raw,
};

use super::view::View;
use crate::sync::error::SyncError;

/// The state that the spec recommends to show to invited and knocking users.
const SHOWN: [StateEventType; 7] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
];

impl View<'_> {
    pub(super) async fn invited_room(&self, member: &Member) -> Result<InvitedRoom, SyncError> {
        let mut invited = InvitedRoom::new();
        invited.invite_state.events = self.stripped_state(member).await?;
        Ok(invited)
    }

    pub(super) async fn knocked_room(&self, member: &Member) -> Result<KnockedRoom, SyncError> {
        let mut state = KnockState::new();
        state.events = self.stripped_state(member).await?;
        Ok(state.into())
    }

    /// What came with the invite or the knock; otherwise from the room's state, which this server
    /// has.
    async fn stripped_state(
        &self,
        member: &Member,
    ) -> Result<Vec<Raw<AnyStrippedStateEvent>>, SyncError> {
        let mut events: Vec<Raw<AnyStrippedStateEvent>> = member
            .stripped_state
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        if member.pos == 0 {
            return Ok(events);
        }
        let room = self.room(member.room).await?;
        if events.is_empty() {
            events = shown_state(&room);
        }
        let has_own = events.iter().any(|event| is_member(event, member));
        let own = room.get(&StateEventType::RoomMember, member.user.as_str());
        if let Some(own) = own.filter(|_| !has_own) {
            events.push(to_stripped_raw(&own.pdu));
        }
        Ok(events)
    }
}

fn shown_state(room: &Arc<RoomSnapshot>) -> Vec<Raw<AnyStrippedStateEvent>> {
    let shown = SHOWN.iter().filter_map(|kind| room.get(kind, ""));
    shown.map(|event| to_stripped_raw(&event.pdu)).collect()
}

fn is_member(event: &Raw<AnyStrippedStateEvent>, member: &Member) -> bool {
    let text = |field| event.get_field::<String>(field).ok().flatten();
    text("type").as_deref() == Some("m.room.member")
        && text("state_key").as_deref() == Some(member.user.as_str())
}
