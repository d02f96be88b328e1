//! Events as clients get them.
//!
//! This is the hottest serialization of the server: the content is copied as text, and nothing is
//! parsed. Nothing of the federation form (`auth_events`, `prev_events`, `depth`, `hashes`,
//! `signatures`, a sender's `unsigned`) can leak, because only named fields are written.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#room-event-format)

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedUserId,
    RoomId, TransactionId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

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

/// The fields of an event, in the order in which they are written.
#[derive(Serialize)]
struct ClientEvent<'a> {
    content: Content<'a>,
    event_id: &'a EventId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a EventId>,
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'a TimelineEventType,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    unsigned: ClientUnsigned<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a RawValue),
    Object(CanonicalJsonObject),
}

#[derive(Serialize)]
struct ClientUnsigned<'a> {
    age: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'a MembershipState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_sender: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces_state: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_because: Option<Box<ClientEvent<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a TransactionId>,
}

impl<'a> ClientEvent<'a> {
    fn new(event: &'a TimelineEvent, form: Form, unsigned: &Unsigned<'a>) -> Self {
        let pdu = &event.pdu;
        let redacts = pdu
            .redacts()
            .filter(|_| *pdu.kind() == TimelineEventType::RoomRedaction);
        let sent = u64::from(pdu.origin_server_ts().get());
        let replaced = unsigned.replaced.map(|replaced| &*replaced.pdu);
        Self {
            content: redacts
                .and_then(|redacts| content_with_redacts(pdu, redacts))
                .map_or(Content::Text(pdu.content()), Content::Object),
            event_id: pdu.event_id(),
            origin_server_ts: pdu.origin_server_ts(),
            redacts,
            sender: pdu.sender(),
            state_key: pdu.state_key(),
            kind: pdu.kind(),
            room_id: (form == Form::Full).then(|| pdu.room_id()),
            unsigned: ClientUnsigned {
                age: u64::from(unsigned.now.get()).saturating_sub(sent),
                membership: unsigned.membership,
                prev_content: replaced.map(Pdu::content),
                prev_sender: replaced.map(Pdu::sender),
                replaces_state: replaced.map(Pdu::event_id),
                redacted_because: unsigned.redacted_because.map(|redaction| {
                    Box::new(Self::new(redaction, form, &Unsigned::at(unsigned.now)))
                }),
                transaction_id: unsigned.transaction_id,
            },
        }
    }
}

/// An event as the type that a Ruma response wants.
pub fn to_raw<T>(event: &TimelineEvent, form: Form, unsigned: &Unsigned<'_>) -> Raw<T> {
    raw(to_raw_value(&ClientEvent::new(event, form, unsigned)))
}

/// An event as servers exchange it: what a filter with `event_format: federation` asks for.
pub fn to_federation_raw<T>(event: &TimelineEvent) -> Raw<T> {
    raw(RawValue::from_string(event.pdu.json().to_string()))
}

/// A state event with only what somebody outside the room may know of it.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)
#[derive(Serialize)]
struct StrippedEvent<'a> {
    content: &'a RawValue,
    sender: &'a UserId,
    state_key: &'a str,
    #[serde(rename = "type")]
    kind: &'a TimelineEventType,
}

/// A stripped state event.
pub fn to_stripped_raw<T>(pdu: &Pdu) -> Raw<T> {
    raw(to_raw_value(&StrippedEvent {
        content: pdu.content(),
        sender: pdu.sender(),
        state_key: pdu.state_key().unwrap_or_default(),
        kind: pdu.kind(),
    }))
}

/// The stripped form of a state event that another server sent, whole or stripped already; none
/// if it is no state event.
pub fn strip<T>(json: &str) -> Option<Raw<T>> {
    let event: ForeignState<'_> = serde_json::from_str(json).ok()?;
    if !event.content.get().starts_with('{') {
        return None;
    }
    Some(raw(to_raw_value(&StrippedEvent {
        content: event.content,
        sender: &event.sender,
        state_key: &event.state_key,
        kind: &event.kind,
    })))
}

#[derive(Deserialize)]
struct ForeignState<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    sender: OwnedUserId,
    state_key: String,
    #[serde(rename = "type")]
    kind: TimelineEventType,
}

/// Clients find `redacts` in both places, wherever the room version has it.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#mroomredaction)
fn content_with_redacts(pdu: &Pdu, redacts: &EventId) -> Option<CanonicalJsonObject> {
    let mut object = canonical::parse_object(pdu.content().get()).ok()?;
    object.insert(
        "redacts".to_owned(),
        CanonicalJsonValue::String(redacts.to_string()),
    );
    Some(object)
}

/// What is written consists of strings, numbers and JSON that was parsed, and can't fail.
fn raw<T>(json: serde_json::Result<Box<RawValue>>) -> Raw<T> {
    Raw::from_json(json.unwrap_or_else(|_| RawValue::NULL.to_owned()))
}
