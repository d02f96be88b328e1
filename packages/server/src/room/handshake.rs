//! Membership events that other servers made from our templates.

use matryx_entity::{
    canonical, power,
    room_snapshot::RoomSnapshot,
    room_versions,
    verify::{PduError, Unverified},
};
use ruma::{
    OwnedUserId, ServerName,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RoomError, Rooms};

#[derive(Deserialize)]
struct Member {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    sender: OwnedUserId,
    state_key: Option<OwnedUserId>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: MembershipState,
    join_authorised_via_users_server: Option<OwnedUserId>,
}

impl Rooms {
    /// Reads an event with which a user of `origin` changes their own membership; with our
    /// signature, where it is one of our users who lets them in.
    ///
    /// # Errors
    /// It is something else.
    pub async fn read_handshake(
        &self,
        room: &RoomSnapshot,
        origin: &ServerName,
        expected: &MembershipState,
        pdu: &RawValue,
    ) -> Result<Unverified, RoomError> {
        let invalid = |reason: &str| RoomError::InvalidParam(reason.to_owned());
        let bad = |error: &dyn std::fmt::Display| RoomError::BadJson(error.to_string());
        let mut object = canonical::parse_object(pdu.get()).map_err(|error| bad(&error))?;
        let member: Member = serde_json::from_str(pdu.get()).map_err(|error| bad(&error))?;
        if member.kind != TimelineEventType::RoomMember || member.content.membership != *expected {
            return Err(invalid("the event is not of this membership"));
        }
        if member.state_key.as_ref() != Some(&member.sender) {
            return Err(invalid("the event is about somebody else"));
        }
        if member.sender.server_name() != origin {
            return Err(invalid("the event is of a user of another server"));
        }
        let authority = member.content.join_authorised_via_users_server;
        let authority = authority.filter(|user| user.server_name() == self.server_name());
        if let Some(authority) = authority {
            let user = member.sender;
            if !power::knows_restricted_joins(&room.version)
                || *expected != MembershipState::Join
                || !room.is_joined(&authority)
                || !(room.is_joined(&user) || self.authority_for(room, &user).await?.is_some())
            {
                return Err(RoomError::UnableToGrantJoin);
            }
            let rules = room_versions::rules(&room.version)?;
            let signer = &self.inner.deps.signer;
            signer
                .cosign(&mut object, rules)
                .map_err(|error| bad(&error))?;
        }
        let text = canonical::to_text(&object);
        let event = Unverified::parse(&text, &room.version).map_err(|error| match error {
            PduError::Unsigned { .. } => RoomError::InvalidParam(error.to_string()),
            malformed => bad(&malformed),
        })?;
        if event.room_id() != room.room_id {
            return Err(invalid("the event is of another room"));
        }
        Ok(event)
    }
}
