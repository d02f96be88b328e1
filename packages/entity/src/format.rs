//! Size and shape limits of a PDU.
//!
//! Ruma's own check caps a PDU at 65,535 bytes and counts bytes in every room version; the spec
//! says 65,536 bytes, and versions up to 10 count code points.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#size-limits)

use ruma::{CanonicalJsonObject, CanonicalJsonValue, RoomId, room_version_rules::RoomVersionRules};

/// The largest PDU: canonical JSON with hashes and signatures.
pub const MAX_PDU_BYTES: usize = 65_536;
/// The longest `sender`, `room_id`, `event_id`, `type` and `state_key`.
pub const MAX_FIELD_LENGTH: usize = 255;
/// The most `prev_events`. [Spec](https://spec.matrix.org/v1.19/rooms/v12/#event-format)
pub const MAX_PREV_EVENTS: usize = 20;
/// The most `auth_events`. [Spec](https://spec.matrix.org/v1.19/rooms/v12/#event-format)
pub const MAX_AUTH_EVENTS: usize = 10;
/// The largest `depth`: 2^53 − 1, the largest integer of canonical JSON.
pub const MAX_DEPTH: u64 = (1 << 53) - 1;

/// Why a PDU is not acceptable in form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The whole event: 413 `M_TOO_LARGE`.
    #[error("the event is {bytes} bytes large, more than the {MAX_PDU_BYTES} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// One field: 413 `M_TOO_LARGE`.
    #[error("`{field}` is longer than {MAX_FIELD_LENGTH}")]
    FieldTooLong {
        /// The field.
        field: &'static str,
    },
    /// More `prev_events` than [`MAX_PREV_EVENTS`] or `auth_events` than [`MAX_AUTH_EVENTS`].
    #[error("`{field}` has {count} entries")]
    TooManyReferences {
        /// The field.
        field: &'static str,
        /// How many it has.
        count: usize,
    },
    /// Negative, or larger than [`MAX_DEPTH`].
    #[error("`depth` is out of range")]
    Depth,
    /// A field that the room version requires is absent.
    #[error("`{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has the wrong JSON type.
    #[error("`{field}` has the wrong type")]
    WrongType {
        /// The field.
        field: &'static str,
    },
    /// Room version 12: the create event is named by the room id, never in `auth_events`.
    #[error("`auth_events` names the create event")]
    CreateInAuthEvents,
}

impl FormatError {
    /// Is it a matter of size, so that a client gets 413 `M_TOO_LARGE`?
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::FieldTooLong { .. })
    }
}

/// Checks the size of the canonical JSON of a whole PDU.
///
/// # Errors
/// [`FormatError::TooLarge`].
pub fn check_size(bytes: usize) -> Result<(), FormatError> {
    if bytes > MAX_PDU_BYTES {
        return Err(FormatError::TooLarge { bytes });
    }
    Ok(())
}

/// Checks the length of an identifier field: bytes from room version 11 on, code points before.
///
/// # Errors
/// [`FormatError::FieldTooLong`].
pub fn check_field(
    field: &'static str,
    value: &str,
    rules: &RoomVersionRules,
) -> Result<(), FormatError> {
    // Fewer bytes than the limit are fewer code points too.
    let fits = value.len() <= MAX_FIELD_LENGTH
        || (!counts_bytes(rules) && value.chars().count() <= MAX_FIELD_LENGTH);
    if fits {
        Ok(())
    } else {
        Err(FormatError::FieldTooLong { field })
    }
}

/// Checks a PDU from anywhere: the first of the checks performed on receipt.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu)
///
/// `bytes` is the length of its canonical JSON.
///
/// # Errors
/// The event must be dropped.
pub fn check_pdu(
    pdu: &CanonicalJsonObject,
    bytes: usize,
    rules: &RoomVersionRules,
) -> Result<(), FormatError> {
    check_size(bytes)?;
    let kind = required_text(pdu, "type", rules)?;
    required_text(pdu, "sender", rules)?;
    let room_id = if kind != "m.room.create" || rules.event_format.require_room_create_room_id {
        Some(required_text(pdu, "room_id", rules)?)
    } else {
        None
    };
    if rules.event_format.require_event_id {
        required_text(pdu, "event_id", rules)?;
    }
    text(pdu, "state_key", rules)?;
    for field in ["content", "hashes", "signatures"] {
        match pdu.get(field) {
            Some(CanonicalJsonValue::Object(_)) => {}
            Some(_) => return Err(FormatError::WrongType { field }),
            None => return Err(FormatError::Missing { field }),
        }
    }
    match pdu.get("origin_server_ts") {
        Some(CanonicalJsonValue::Integer(ts)) if i64::from(*ts) >= 0 => {}
        Some(_) => {
            return Err(FormatError::WrongType {
                field: "origin_server_ts",
            });
        }
        None => {
            return Err(FormatError::Missing {
                field: "origin_server_ts",
            });
        }
    }
    references(pdu, "prev_events", MAX_PREV_EVENTS)?;
    let auth_events = references(pdu, "auth_events", MAX_AUTH_EVENTS)?;
    if !rules.event_format.allow_room_create_in_auth_events
        && let Some(room_id) = room_id
        && let Ok(room_id) = <&RoomId>::try_from(room_id)
        && auth_events
            .iter()
            .filter_map(CanonicalJsonValue::as_str)
            .any(|id| id.strip_prefix('$') == Some(room_id.strip_sigil()))
    {
        return Err(FormatError::CreateInAuthEvents);
    }
    match pdu.get("depth") {
        Some(CanonicalJsonValue::Integer(depth)) if i64::from(*depth) >= 0 => Ok(()),
        Some(CanonicalJsonValue::Integer(_)) => Err(FormatError::Depth),
        Some(_) => Err(FormatError::WrongType { field: "depth" }),
        None => Err(FormatError::Missing { field: "depth" }),
    }
}

/// Room version 11 is the one that settled on bytes; it is also the one that moved `redacts`.
fn counts_bytes(rules: &RoomVersionRules) -> bool {
    rules.redaction.content_field_redacts
}

fn text<'a>(
    pdu: &'a CanonicalJsonObject,
    field: &'static str,
    rules: &RoomVersionRules,
) -> Result<Option<&'a str>, FormatError> {
    match pdu.get(field) {
        Some(CanonicalJsonValue::String(value)) => {
            check_field(field, value, rules)?;
            Ok(Some(value))
        }
        Some(_) => Err(FormatError::WrongType { field }),
        None => Ok(None),
    }
}

fn required_text<'a>(
    pdu: &'a CanonicalJsonObject,
    field: &'static str,
    rules: &RoomVersionRules,
) -> Result<&'a str, FormatError> {
    text(pdu, field, rules)?.ok_or(FormatError::Missing { field })
}

fn references<'a>(
    pdu: &'a CanonicalJsonObject,
    field: &'static str,
    most: usize,
) -> Result<&'a [CanonicalJsonValue], FormatError> {
    let Some(value) = pdu.get(field) else {
        return Err(FormatError::Missing { field });
    };
    let Some(list) = value.as_array() else {
        return Err(FormatError::WrongType { field });
    };
    if list.len() > most {
        return Err(FormatError::TooManyReferences {
            field,
            count: list.len(),
        });
    }
    if list.iter().any(|entry| entry.as_str().is_none()) {
        return Err(FormatError::WrongType { field });
    }
    Ok(list)
}
