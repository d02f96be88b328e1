//! An invite of one of our users to a room of another server.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room)

use std::time::Duration;

use matryx_entity::{
    canonical, client_event,
    pdu::Pdu,
    room_versions,
    verify::{PduError, Unverified},
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, ServerName,
    api::federation::membership::RawStrippedState,
    events::{AnyStrippedStateEvent, TimelineEventType, room::member::MembershipState},
    serde::Raw,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::outsider::Outsider;
use crate::{
    key::VerifyError,
    room::{RoomError, Rooms},
};

/// The most events that are kept of what came with an invite or a knock.
const MAX_STRIPPED: usize = 50;
/// How long the keys of those who made them are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of them.
const MAX_STRIPPED_BYTES: usize = 256 << 10;

/// An invite as another server sends it.
#[derive(Debug)]
pub struct ReceivedInvite {
    /// The room, as the request names it.
    pub room_id: OwnedRoomId,
    /// The event, as the request names it.
    pub event_id: OwnedEventId,
    /// The room's version.
    pub version: RoomVersionId,
    /// The event.
    pub event: Box<RawValue>,
    /// What the invited user may know of the room.
    pub state: Vec<RawStrippedState>,
}

#[derive(Deserialize)]
struct Invite {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: MembershipState,
}

impl Rooms {
    /// Takes an invite, shows it to the invited user, and signs it: the event with our signature.
    /// In a room that this server is in, the event itself comes by another way.
    ///
    /// # Errors
    /// 400 for anything but an invite of one of our users by one of theirs; 403 and 404 for users
    /// who can't or don't want to be invited.
    pub async fn receive_invite(
        &self,
        origin: &ServerName,
        invite: ReceivedInvite,
    ) -> Result<String, RoomError> {
        let invalid = |reason: &str| RoomError::InvalidParam(reason.to_owned());
        let bad = |error: &dyn std::fmt::Display| RoomError::BadJson(error.to_string());
        let rules = room_versions::rules(&invite.version)?;
        let mut object =
            canonical::parse_object(invite.event.get()).map_err(|error| bad(&error))?;
        let told: Invite = serde_json::from_str(invite.event.get()).map_err(|error| bad(&error))?;
        if told.kind != TimelineEventType::RoomMember
            || told.content.membership != MembershipState::Invite
        {
            return Err(invalid("the event is no invite"));
        }
        if told.sender.server_name() != origin {
            return Err(invalid("the invite is of a user of another server"));
        }
        if told.state_key.server_name() != self.server_name() {
            return Err(invalid("the invited user is not of this server"));
        }
        object.remove("unsigned");
        let text = canonical::to_text(&object);
        let event = Unverified::parse(&text, &invite.version).map_err(|error| match error {
            PduError::Unsigned { .. } => invalid(&error.to_string()),
            malformed => bad(&malformed),
        })?;
        if event.room_id() != invite.room_id || event.event_id() != invite.event_id {
            return Err(invalid("the event is another than the request names"));
        }
        let event = self.inner.deps.key_ring.verify(event).await;
        let event = event.map_err(|error| invalid(&error.to_string()))?;
        if event.is_redacted() {
            return Err(invalid("the content of the event does not have its hash"));
        }
        if rules.authorization.room_create_event_id_as_room_id {
            let named = (&*invite.room_id, &invite.version);
            self.check_prejoin_state(named, &invite.state).await?;
        }
        self.check_invitee(&told.state_key).await?;
        let resident = self.resident(&invite.room_id).await.ok();
        if resident.is_none() {
            let room = self.known_room(&invite.room_id, &invite.version).await?;
            let outsider = Outsider {
                user: told.state_key,
                membership: MembershipState::Invite,
                event_id: event.event_id().to_owned(),
                sender: told.sender,
                stripped_state: Some(stripped(&invite.state, event.pdu())),
            };
            let place = (room, invite.room_id.clone());
            self.write_outsider(place, outsider, |now| {
                now.is_some_and(|now| {
                    now.membership == MembershipState::Join
                        || now.membership == MembershipState::Invite
                            && now.event_id == *event.event_id()
                })
            })
            .await?;
        }
        let signer = &self.inner.deps.signer;
        signer
            .cosign(&mut object, rules)
            .map_err(|error| bad(&error))?;
        Ok(canonical::to_text(&object))
    }
}

impl Rooms {
    /// Checks what a server tells of a room with an invite: whole events of that room, with its
    /// create event, none of them wrongly signed. Keys that can't be had now count as no objection:
    /// what the room rests on has the room's id as its hash.
    /// [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid)
    ///
    /// # Errors
    /// [`RoomError::InvalidParam`]
    async fn check_prejoin_state(
        &self,
        (room_id, version): (&RoomId, &RoomVersionId),
        state: &[RawStrippedState],
    ) -> Result<(), RoomError> {
        let invalid =
            |reason: &str| RoomError::InvalidParam(format!("invite_room_state: {reason}"));
        if state.len() > MAX_STRIPPED {
            return Err(invalid("too many events"));
        }
        let mut events = Vec::with_capacity(state.len());
        let mut has_create = false;
        for event in state {
            let RawStrippedState::Pdu(pdu) = event else {
                return Err(invalid("an event is not whole"));
            };
            let event = Unverified::parse(pdu.get(), version);
            let event = event.map_err(|error| invalid(&error.to_string()))?;
            if event.room_id() != room_id {
                return Err(invalid("an event is of another room"));
            }
            has_create |= event.kind() == "m.room.create";
            events.push(event);
        }
        if !has_create {
            return Err(invalid("the create event is missing"));
        }
        let verified = self.inner.deps.key_ring.verify_all(events);
        let verified = timeout(PATIENCE, verified).await.unwrap_or_default();
        let untrusted = verified.into_iter().find_map(|event| match event {
            Err(error @ VerifyError::Untrusted { .. }) => Some(error),
            _ => None,
        });
        untrusted.map_or(Ok(()), |error| Err(invalid(&error.to_string())))
    }
}

/// What came with an invite or a knock, as a client sees it, and the membership event itself: the
/// JSON text of an array.
pub(super) fn stripped(state: &[RawStrippedState], member: &Pdu) -> String {
    let mut events: Vec<Raw<AnyStrippedStateEvent>> = Vec::with_capacity(state.len() + 1);
    let mut bytes = 0;
    for event in state.iter().take(MAX_STRIPPED) {
        let text = match event {
            RawStrippedState::Pdu(pdu) => pdu.get(),
            #[expect(deprecated, reason = "older servers send stripped events")]
            RawStrippedState::Stripped(event) => event.json().get(),
            _ => continue,
        };
        bytes += text.len();
        if bytes > MAX_STRIPPED_BYTES {
            break;
        }
        events.extend(client_event::strip(text));
    }
    events.push(client_event::to_stripped_raw(member));
    let texts: Vec<&str> = events.iter().map(|event| event.json().get()).collect();
    format!("[{}]", texts.join(","))
}
