//! What is heard from outside of a room that this server is not in: an invite or a knock that
//! somebody of the room ended.

use matryx_entity::verify::Unverified;
use ruma::{
    OwnedEventId, OwnedUserId, RoomId, ServerName,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::outsider::Outsider;
use crate::room::{RoomError, Rooms};

#[derive(Deserialize)]
struct Sanction {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    content: Content,
    auth_events: Vec<OwnedEventId>,
}

#[derive(Deserialize)]
struct Content {
    membership: MembershipState,
}

impl Rooms {
    /// Takes the event that ends an invite to, or a knock on, a room that this server is not in.
    ///
    /// The state of the room is not known, and so not whether its rules allow the event. It is
    /// believed if it rests on the invite or knock that it ends, and comes from the server of who
    /// sent it; an invite can be taken back by the server that sent it alone. None for any other
    /// event: it has no meaning here.
    ///
    /// # Errors
    /// The event can't be verified, or the database written to.
    pub async fn hear_from_outside(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        pdu: &RawValue,
    ) -> Result<Option<OwnedEventId>, RoomError> {
        let Ok(told) = serde_json::from_str::<Sanction>(pdu.get()) else {
            return Ok(None);
        };
        let ends = matches!(
            told.content.membership,
            MembershipState::Leave | MembershipState::Ban
        );
        if told.kind != TimelineEventType::RoomMember
            || !ends
            || told.sender.server_name() != origin
            || told.state_key.server_name() != self.server_name()
        {
            return Ok(None);
        }
        let Some(room) = self.store().room_by_id(room_id).await? else {
            return Ok(None);
        };
        let Some(now) = self.membership_record(room.no, &told.state_key).await? else {
            return Ok(None);
        };
        let may_end = match now.membership {
            MembershipState::Invite => now.sender.server_name() == origin,
            MembershipState::Knock => true,
            _ => false,
        };
        if !may_end || !told.auth_events.contains(&now.event_id) {
            return Ok(None);
        }
        let bad = |error: &dyn std::fmt::Display| RoomError::InvalidParam(error.to_string());
        let event = Unverified::parse(pdu.get(), &room.version).map_err(|error| bad(&error))?;
        if event.room_id() != room_id {
            return Ok(None);
        }
        let event = self.inner.deps.key_ring.verify(event).await;
        let event = event.map_err(|error| bad(&error))?;
        if event.is_redacted() {
            return Ok(None);
        }
        let outsider = Outsider {
            user: told.state_key,
            membership: told.content.membership,
            event_id: event.event_id().to_owned(),
            sender: told.sender,
            stripped_state: None,
        };
        self.write_outsider((room.no, room.room_id), outsider, |then| {
            then.is_none_or(|then| then.event_id != now.event_id)
        })
        .await?;
        Ok(Some(event.event_id().to_owned()))
    }
}
