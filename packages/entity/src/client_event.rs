//! Events as clients get them.
//!
//! This is the hottest serialization of the server, so it splices text: what every reader of an
//! event gets alike is made once per event and kept with it; room id and `unsigned` are appended
//! per reader. Nothing of the federation form (`auth_events`, `prev_events`, `depth`, `hashes`,
//! `signatures`, a sender's `unsigned`) can leak, because only named fields are written.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#room-event-format)

use std::fmt::Write;

use ruma::{
    CanonicalJsonValue, MilliSecondsSinceUnixEpoch, TransactionId,
    events::{TimelineEventType, room::member::MembershipState},
    serde::Raw,
};
use serde_json::value::RawValue;

use crate::{canonical, pdu::Pdu, timeline::TimelineEvent};

/// Is the room named in each event, or by what is around them?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With `room_id`: everywhere but in `/sync`.
    Full,
    /// Without it: in `/sync`, beneath the room.
    Sync,
}

/// What `unsigned` says to one reader at one time.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The time now: gives `age`.
    pub now: MilliSecondsSinceUnixEpoch,
    /// The transaction that sent the event; only for the device that did.
    pub transaction_id: Option<&'a TransactionId>,
    /// The reader's membership at the event.
    pub membership: Option<&'a MembershipState>,
    /// The state event whose slot this one took: gives `prev_content` and `replaces_state`. One
    /// that the reader may not see must not be given.
    pub replaced: Option<&'a TimelineEvent>,
    /// The redaction that took the event's content.
    pub redacted_because: Option<&'a TimelineEvent>,
}

impl Unsigned<'_> {
    /// Only the age.
    pub fn at(now: MilliSecondsSinceUnixEpoch) -> Self {
        Self {
            now,
            transaction_id: None,
            membership: None,
            replaced: None,
            redacted_because: None,
        }
    }
}

/// Appends an event.
pub fn write(out: &mut String, event: &TimelineEvent, form: Form, unsigned: &Unsigned<'_>) {
    out.push_str(event.pdu.client_fields());
    if form == Form::Full {
        out.push_str(",\"room_id\":");
        push_quoted(out, event.pdu.room_id().as_str());
    }
    out.push_str(",\"unsigned\":{\"age\":");
    let age =
        u64::from(unsigned.now.get()).saturating_sub(u64::from(event.pdu.origin_server_ts().get()));
    // Writing to a string can't fail.
    let _ = write!(out, "{age}");
    if let Some(membership) = unsigned.membership {
        out.push_str(",\"membership\":");
        push_quoted(out, membership.as_str());
    }
    if let Some(replaced) = unsigned.replaced {
        out.push_str(",\"prev_content\":");
        out.push_str(replaced.pdu.content().get());
        out.push_str(",\"prev_sender\":");
        push_quoted(out, replaced.pdu.sender().as_str());
        out.push_str(",\"replaces_state\":");
        push_quoted(out, replaced.pdu.event_id().as_str());
    }
    if let Some(redaction) = unsigned.redacted_because {
        out.push_str(",\"redacted_because\":");
        write(out, redaction, form, &Unsigned::at(unsigned.now));
    }
    if let Some(transaction_id) = unsigned.transaction_id {
        out.push_str(",\"transaction_id\":");
        push_quoted(out, transaction_id.as_str());
    }
    out.push_str("}}");
}

/// An event as JSON text.
pub fn to_text(event: &TimelineEvent, form: Form, unsigned: &Unsigned<'_>) -> String {
    let mut out = String::with_capacity(event.pdu.client_fields().len() + 160);
    write(&mut out, event, form, unsigned);
    out
}

/// An event as the type that a Ruma response wants.
pub fn to_raw<T>(event: &TimelineEvent, form: Form, unsigned: &Unsigned<'_>) -> Raw<T> {
    raw(to_text(event, form, unsigned))
}

/// An event as servers exchange it: what a filter with `event_format: federation` asks for.
pub fn to_federation_raw<T>(event: &TimelineEvent) -> Raw<T> {
    raw(event.pdu.json().to_string())
}

/// A state event with only what somebody outside the room may know of it.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)
pub fn to_stripped_text(pdu: &Pdu) -> String {
    let mut out = String::with_capacity(pdu.content().get().len() + 160);
    out.push_str("{\"content\":");
    out.push_str(pdu.content().get());
    push_field(&mut out, "sender", pdu.sender().as_str());
    push_field(&mut out, "state_key", pdu.state_key().unwrap_or_default());
    push_field(&mut out, "type", &pdu.kind().to_string());
    out.push('}');
    out
}

/// A stripped state event as the type that a Ruma response wants.
pub fn to_stripped_raw<T>(pdu: &Pdu) -> Raw<T> {
    raw(to_stripped_text(pdu))
}

/// The fields that every reader gets, without the closing brace.
pub(crate) fn shared_fields(pdu: &Pdu) -> Box<str> {
    let content = pdu.content().get();
    let mut out = String::with_capacity(content.len() + 256);
    out.push_str("{\"content\":");
    let redacts = pdu
        .redacts()
        .filter(|_| *pdu.kind() == TimelineEventType::RoomRedaction);
    match redacts.and_then(|redacts| content_with_redacts(content, redacts.as_str())) {
        Some(content) => out.push_str(&content),
        None => out.push_str(content),
    }
    push_field(&mut out, "event_id", pdu.event_id().as_str());
    // Writing to a string can't fail.
    let _ = write!(
        out,
        ",\"origin_server_ts\":{}",
        pdu.origin_server_ts().get()
    );
    if let Some(redacts) = redacts {
        push_field(&mut out, "redacts", redacts.as_str());
    }
    push_field(&mut out, "sender", pdu.sender().as_str());
    if let Some(state_key) = pdu.state_key() {
        push_field(&mut out, "state_key", state_key);
    }
    push_field(&mut out, "type", &pdu.kind().to_string());
    out.into_boxed_str()
}

/// Clients find `redacts` in both places, wherever the room version has it.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#mroomredaction)
fn content_with_redacts(content: &str, redacts: &str) -> Option<String> {
    let mut object = canonical::parse_object(content).ok()?;
    object.insert(
        "redacts".to_owned(),
        CanonicalJsonValue::String(redacts.to_owned()),
    );
    Some(canonical::to_text(&object))
}

fn push_field(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    push_quoted(out, value);
}

fn push_quoted(out: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A string can't fail to serialize.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// The text was assembled from valid JSON.
fn raw<T>(text: String) -> Raw<T> {
    let json = RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Raw::from_json(json)
}
