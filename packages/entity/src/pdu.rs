//! A persistent data unit, parsed once from its canonical JSON.
//!
//! The JSON text stays the truth ([`Pdu::json`]); the fields beside it are what rules, state
//! resolution and serving need over and over.

use std::sync::{Arc, OnceLock};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UInt,
    UserId,
    events::{StateEventType, TimelineEventType},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The text is not a PDU.
#[derive(Debug, thiserror::Error)]
#[error("event {event_id} is not a well-formed PDU")]
pub struct MalformedPdu {
    /// The id under which it was to be read.
    pub event_id: OwnedEventId,
    /// What is wrong.
    #[source]
    pub source: serde_json::Error,
}

/// A PDU of any supported room version.
#[derive(Clone, Debug)]
pub struct Pdu {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    kind: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    redacts: Option<OwnedEventId>,
    rejected: bool,
    json: Arc<str>,
    links: OnceLock<Links>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Links {
    #[serde(default)]
    prev_events: Vec<OwnedEventId>,
    #[serde(default)]
    auth_events: Vec<OwnedEventId>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: TimelineEventType,
    #[serde(default)]
    state_key: Option<String>,
    content: Box<RawValue>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(default)]
    depth: UInt,
    #[serde(default)]
    redacts: Option<OwnedEventId>,
}

#[derive(Deserialize)]
struct RedactsContent {
    redacts: Option<OwnedEventId>,
}

impl Pdu {
    /// Parses `json`, the canonical JSON of the PDU `event_id` in the room `room_id`.
    ///
    /// The room id is a parameter because the `m.room.create` event of room version 12 does not
    /// carry it.
    ///
    /// # Errors
    /// The text lacks a field that every PDU has, or one has the wrong type.
    pub fn parse(
        event_id: OwnedEventId,
        room_id: &RoomId,
        json: impl Into<Arc<str>>,
        rejected: bool,
    ) -> Result<Self, MalformedPdu> {
        let json = json.into();
        let wire: Wire = match serde_json::from_str(&json) {
            Ok(wire) => wire,
            Err(source) => return Err(MalformedPdu { event_id, source }),
        };
        let redacts = wire.redacts.or_else(|| {
            (wire.kind == TimelineEventType::RoomRedaction)
                .then(|| {
                    serde_json::from_str::<RedactsContent>(wire.content.get())
                        .ok()?
                        .redacts
                })
                .flatten()
        });
        Ok(Self {
            event_id,
            room_id: wire.room_id.unwrap_or_else(|| room_id.to_owned()),
            sender: wire.sender,
            kind: wire.kind,
            state_key: wire.state_key,
            content: wire.content,
            origin_server_ts: wire.origin_server_ts,
            depth: wire.depth.into(),
            redacts,
            rejected,
            json,
            links: OnceLock::new(),
        })
    }

    /// The same event, known not to be allowed.
    #[must_use]
    pub fn to_rejected(&self) -> Self {
        Self {
            rejected: true,
            ..self.clone()
        }
    }

    /// Is it known not to be allowed?
    pub fn rejected(&self) -> bool {
        self.rejected
    }

    /// The canonical JSON text.
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }

    /// The event's id.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// The room's id.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// `sender`.
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// `type`.
    pub fn kind(&self) -> &TimelineEventType {
        &self.kind
    }

    /// `type` of a state event.
    pub fn state_kind(&self) -> Option<StateEventType> {
        self.state_key
            .as_ref()
            .map(|_| StateEventType::from(self.kind.to_string()))
    }

    /// `state_key`.
    pub fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    /// `content`, as text.
    pub fn content(&self) -> &RawValue {
        &self.content
    }

    /// `content`, as a type; `None` when it does not fit.
    pub fn content_as<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.content.get()).ok()
    }

    /// `origin_server_ts`.
    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    /// `depth`.
    pub fn depth(&self) -> u64 {
        self.depth
    }

    /// The event that an `m.room.redaction` names, wherever the room version puts it.
    pub fn redacts(&self) -> Option<&EventId> {
        self.redacts.as_deref()
    }

    /// `prev_events`.
    pub fn prev_events(&self) -> &[OwnedEventId] {
        &self.links().prev_events
    }

    /// `auth_events`.
    pub fn auth_events(&self) -> &[OwnedEventId] {
        &self.links().auth_events
    }

    /// Parsed on first use: only state resolution and federation ask, never a client.
    fn links(&self) -> &Links {
        self.links
            .get_or_init(|| serde_json::from_str(&self.json).unwrap_or_default())
    }
}

impl ruma::state_res::Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        // The create event of room version 12 must not carry one; its id is the room's.
        let carries =
            self.kind != TimelineEventType::RoomCreate || self.room_id.server_name().is_some();
        carries.then_some(&*self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.links().prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.links().auth_events.iter())
    }

    fn redacts(&self) -> Option<&Self::Id> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}
