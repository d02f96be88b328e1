//! The authorization rules: may this event be part of the room?
//!
//! Ruma holds the rules; this module feeds them from a [`RoomSnapshot`] or from closures, and
//! keeps its reasons for the error message.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#authorization-rules)

use ruma::{
    EventId, RoomId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{
        Event, auth_types_for_event, check_state_dependent_auth_rules,
        check_state_independent_auth_rules,
    },
};

use crate::{pdu::Pdu, room_snapshot::RoomSnapshot};

/// The event breaks an auth rule: 403 `M_FORBIDDEN` for a client, rejected or soft-failed when it
/// came from elsewhere. The reason names the rule and holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct AuthError {
    /// Which rule.
    pub reason: String,
}

impl From<String> for AuthError {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}

/// Checks an event that was built on `room`: its auth events are of the room's current state.
///
/// # Errors
/// The event is not allowed.
pub fn authorize(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    room: &RoomSnapshot,
) -> Result<(), AuthError> {
    let mut known: Vec<&Pdu> = Vec::with_capacity(6);
    for (kind, state_key) in auth_slots(rules, pdu)? {
        known.extend(room.get(&kind, &state_key).map(|event| &*event.pdu));
    }
    // Version 12 leaves the create event out of the auth events, and checks it nevertheless.
    known.extend(
        room.get(&StateEventType::RoomCreate, "")
            .map(|event| &*event.pdu),
    );
    check_auth_events(rules, pdu, |event_id| {
        known.iter().copied().find(|pdu| pdu.event_id() == event_id)
    })?;
    authorize_against(rules, pdu, room)
}

/// Checks an event against the state of a room, whatever its auth events are: the check with the
/// current state that decides about soft failure.
///
/// # Errors
/// The event is not allowed.
pub fn authorize_against(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    room: &RoomSnapshot,
) -> Result<(), AuthError> {
    check_state(rules, pdu, |kind, state_key| {
        room.get(kind, state_key).map(|event| &event.pdu)
    })
}

/// Checks an event that was built elsewhere against the events that it names as its authority.
///
/// `auth_events` are those, and from room version 12 on the create event as well, which no event
/// names.
///
/// # Errors
/// The event must be rejected.
pub fn authorize_by_auth_events(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    auth_events: &[&Pdu],
) -> Result<(), AuthError> {
    check_auth_events(rules, pdu, |event_id| {
        let mut known = auth_events.iter().copied();
        known.find(|pdu| pdu.event_id() == event_id)
    })?;
    if *pdu.kind() == TimelineEventType::RoomCreate {
        return Ok(());
    }
    check_state(rules, pdu, |kind, state_key| {
        auth_events.iter().copied().find(|pdu| {
            pdu.state_key() == Some(state_key) && pdu.state_kind().as_ref() == Some(kind)
        })
    })
}

/// The rules about `auth_events`, and those of the create event: they depend on no state.
///
/// # Errors
/// The event must be rejected.
pub fn check_auth_events<E: Event>(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    fetch: impl Fn(&EventId) -> Option<E>,
) -> Result<(), AuthError> {
    if *pdu.kind() == TimelineEventType::RoomCreate {
        check_create(rules, pdu)?;
    }
    check_state_independent_auth_rules(&rules.authorization, pdu, fetch)?;
    Ok(())
}

/// The rules that depend on a state.
///
/// # Errors
/// The event is not allowed by this state.
pub fn check_state<E: Event>(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    fetch: impl Fn(&StateEventType, &str) -> Option<E>,
) -> Result<(), AuthError> {
    check_state_dependent_auth_rules(&rules.authorization, pdu, fetch)?;
    Ok(())
}

/// The slots of the state that the auth events of an event are taken from.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection)
///
/// # Errors
/// The content of an `m.room.member` event is malformed.
pub fn auth_slots(
    rules: &RoomVersionRules,
    pdu: &Pdu,
) -> Result<Vec<(StateEventType, String)>, AuthError> {
    Ok(auth_types_for_event(
        pdu.kind(),
        pdu.sender(),
        pdu.state_key(),
        pdu.content(),
        &rules.authorization,
    )?)
}

/// What Ruma leaves to the caller: the slot of a create event, and that the `room_id` is in the
/// text where the version wants it.
fn check_create(rules: &RoomVersionRules, pdu: &Pdu) -> Result<(), AuthError> {
    if pdu.state_key() != Some("") {
        return Err(AuthError {
            reason: "`m.room.create` event must have an empty `state_key`".to_owned(),
        });
    }
    if rules.authorization.room_create_event_id_as_room_id
        && !names_room(pdu.room_id(), pdu.event_id())
    {
        return Err(AuthError {
            reason: "room ID is not the hash of the `m.room.create` event".to_owned(),
        });
    }
    Ok(())
}

/// Is the room id of version 12 the one that this create event gives?
fn names_room(room_id: &RoomId, create: &EventId) -> bool {
    create.as_str().strip_prefix('$') == Some(room_id.strip_sigil())
}
