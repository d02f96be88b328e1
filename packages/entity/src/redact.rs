//! Redaction: what remains of an event, and whether a redaction takes effect.

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject,
    canonical_json::{CanonicalJsonFieldError, redact_in_place},
    room_version_rules::RoomVersionRules,
};

use crate::{
    canonical::{self, CanonicalError},
    pdu::{MalformedPdu, Pdu},
    power::{Guarded, Power},
    room_snapshot::RoomSnapshot,
    timeline::TimelineEvent,
};

/// Why an event can't be redacted: its stored text is damaged.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// It is not canonical JSON.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// It lacks what every event has.
    #[error("malformed event: {0}")]
    Field(#[from] CanonicalJsonFieldError),
    /// What remains is no event.
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
}

/// The canonical JSON of a PDU without what its room version takes away: still validly signed,
/// and with the same event id.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#redactions)
///
/// # Errors
/// The text is not a PDU.
pub fn redacted_json(json: &str, rules: &RoomVersionRules) -> Result<String, RedactError> {
    let mut event: CanonicalJsonObject = canonical::parse_object(json)?;
    redact_in_place(&mut event, &rules.redaction, None)?;
    Ok(canonical::to_text(&event))
}

/// A copy of an event without what its room version takes away, for a reader who may not have the
/// rest.
///
/// # Errors
/// The event is damaged.
pub fn redacted_copy(
    event: &TimelineEvent,
    rules: &RoomVersionRules,
) -> Result<TimelineEvent, RedactError> {
    let json = redacted_json(event.pdu.json(), rules)?;
    let pdu = Pdu::parse(
        event.pdu.event_id().to_owned(),
        event.pdu.room_id(),
        json,
        event.rejected,
    )?;
    Ok(TimelineEvent {
        pdu: Arc::new(pdu),
        pos: event.pos,
        at: event.at.clone(),
        rejected: event.rejected,
        soft_failed: event.soft_failed,
        redacted_by: event.redacted_by,
        group: event.group,
        head_group: event.head_group,
        replaces: event.replaces,
        delta: event.delta.clone(),
        past: event.past.clone(),
        seam: event.seam,
    })
}

/// May this redaction take the content of `target`, by the state of the room it was sent in?
///
/// The auth rules let every redaction into the room; whether it takes effect is decided here.
/// [Spec](https://spec.matrix.org/v1.19/rooms/v3/#handling-redactions)
pub fn may_redact(redaction: &Pdu, target: &Pdu, room: &RoomSnapshot) -> bool {
    let names_target = redaction.redacts() == Some(target.event_id())
        && redaction.event_id() != target.event_id()
        && redaction.room_id() == target.room_id();
    if !names_target {
        return false;
    }
    if redaction.sender().server_name() == target.sender().server_name() {
        return true;
    }
    Power::of(room).is_some_and(|power| power.may(redaction.sender(), Guarded::Redact))
}
