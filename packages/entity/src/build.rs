//! Building and signing a new event on top of a room.
//!
//! The one place where our key signs an event, and it signs nothing but what it assembles itself
//! from a template. The content is turned into text once; the content hash, the signature, the
//! event id and the stored form are all made from that text, because this runs for every message.

mod elsewhere;
mod text;

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, IdParseError, MilliSecondsSinceUnixEpoch,
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, RoomVersionId, UserId,
    canonical_json::redact_content_in_place,
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    signatures::{Ed25519KeyPair, KeyPair},
    state_res::auth_types_for_event,
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

pub use self::elsewhere::{ToldPlace, build_elsewhere};
use self::text::{Text, quoted};
use crate::{
    canonical::{self, CanonicalError},
    format::{self, FormatError, MAX_DEPTH, MAX_PREV_EVENTS},
    pdu::{MalformedPdu, Pdu},
    room_snapshot::RoomSnapshot,
    room_versions::{self, UnsupportedRoomVersion},
};

/// Why an event can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The content is not canonical JSON.
    #[error(transparent)]
    Content(#[from] CanonicalError),
    /// The event breaks a limit of size or shape.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The content of an `m.room.member` event is not what the auth rules need: 400 `M_BAD_JSON`.
    #[error("{reason}")]
    Member {
        /// What is wrong.
        reason: String,
    },
    /// The room's version is not supported.
    #[error(transparent)]
    Version(#[from] UnsupportedRoomVersion),
    /// The hash of the event does not make an identifier; can't happen.
    #[error(transparent)]
    Id(#[from] IdParseError),
    /// The event that came out is not a PDU; can't happen for valid identifiers.
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
}

/// What the author of an event says; the room and the server say the rest.
#[derive(Clone, Debug)]
pub struct EventTemplate {
    /// `type`.
    pub kind: TimelineEventType,
    /// `state_key` of a state event.
    pub state_key: Option<String>,
    /// `content`.
    pub content: CanonicalJsonObject,
    /// The event that an `m.room.redaction` redacts; it is put where the room version has it.
    pub redacts: Option<OwnedEventId>,
}

impl EventTemplate {
    /// A message event.
    pub fn message(kind: TimelineEventType, content: CanonicalJsonObject) -> Self {
        Self {
            kind,
            state_key: None,
            content,
            redacts: None,
        }
    }

    /// A state event.
    pub fn state(
        kind: TimelineEventType,
        state_key: impl Into<String>,
        content: CanonicalJsonObject,
    ) -> Self {
        Self {
            kind,
            state_key: Some(state_key.into()),
            content,
            redacts: None,
        }
    }

    /// The content that a client sent.
    ///
    /// # Errors
    /// It is not an object of canonical JSON: `M_NOT_JSON` or `M_BAD_JSON`.
    pub fn content_from(raw: &RawValue) -> Result<CanonicalJsonObject, CanonicalError> {
        canonical::parse_object(raw.get())
    }

    /// The content that we made ourselves.
    ///
    /// # Errors
    /// It doesn't serialize to an object of canonical JSON.
    pub fn content_of(
        content: &impl serde::Serialize,
    ) -> Result<CanonicalJsonObject, CanonicalError> {
        canonical::parse_object(&serde_json::to_string(content)?)
    }
}

/// The server's name and key, with which it signs events.
#[derive(Debug)]
pub struct EventSigner {
    server_name: OwnedServerName,
    key: Arc<Ed25519KeyPair>,
}

impl EventSigner {
    /// Signs as `server_name` with `key`.
    pub fn new(server_name: OwnedServerName, key: impl Into<Arc<Ed25519KeyPair>>) -> Self {
        let key = key.into();
        Self { server_name, key }
    }

    /// Adds this server's signature to an event of another: to the join of a user whom one of its
    /// own users lets into a restricted room, and to the invite of one of its own users. It signs
    /// no other events of others.
    ///
    /// # Errors
    /// The event lacks what every event has.
    pub fn cosign(
        &self,
        event: &mut CanonicalJsonObject,
        rules: &RoomVersionRules,
    ) -> Result<(), ruma::signatures::JsonError> {
        ruma::signatures::hash_and_sign_event(
            self.server_name.as_str(),
            &*self.key,
            event,
            &rules.redaction,
        )
    }

    /// The server that signs.
    pub fn server_name(&self) -> &ruma::ServerName {
        &self.server_name
    }
}

/// Builds and signs an event on top of `room`: extremities, depth and auth events are its.
///
/// # Errors
/// See [`BuildError`]. Whether the event is allowed is for [`crate::auth`] to say.
pub fn build(
    template: EventTemplate,
    room: &RoomSnapshot,
    sender: &UserId,
    ts: MilliSecondsSinceUnixEpoch,
    signer: &EventSigner,
) -> Result<Pdu, BuildError> {
    let rules = room_versions::rules(&room.version)?;
    let draft = Draft::new(template, sender, ts, rules)?;
    let placement = placement(&draft, room, rules)?;
    draft.finish(&placement, &room.room_id, signer)
}

/// Builds and signs the create event of a new room; its `room_id()` is the room's.
///
/// `new_room_id` is asked for a random id by the versions that have one; from version 12 on the
/// hash of the event is the id.
///
/// # Errors
/// See [`BuildError`].
pub fn build_create(
    version: &RoomVersionId,
    content: CanonicalJsonObject,
    sender: &UserId,
    ts: MilliSecondsSinceUnixEpoch,
    new_room_id: impl FnOnce() -> OwnedRoomId,
    signer: &EventSigner,
) -> Result<Pdu, BuildError> {
    let rules = room_versions::rules(version)?;
    let template = EventTemplate::state(TimelineEventType::RoomCreate, "", content);
    let draft = Draft::new(template, sender, ts, rules)?;
    let mut placement = Placement {
        auth_events: Vec::new(),
        prev_events: Vec::new(),
        depth: 1,
        room_id: None,
    };
    if rules.authorization.room_create_event_id_as_room_id {
        return draft.finish_create(&placement, signer);
    }
    let room_id = new_room_id();
    placement.room_id = Some(&room_id);
    draft.finish(&placement, &room_id, signer)
}

/// An event on top of `room` for a user of another server, which will hash and sign it.
///
/// # Errors
/// See [`BuildError`]. Whether the event is allowed is for [`crate::auth`] to say.
pub fn unsigned(
    template: EventTemplate,
    room: &RoomSnapshot,
    sender: &UserId,
    ts: MilliSecondsSinceUnixEpoch,
) -> Result<String, BuildError> {
    let rules = room_versions::rules(&room.version)?;
    let draft = Draft::new(template, sender, ts, rules)?;
    let placement = placement(&draft, room, rules)?;
    let text = Text::of(&draft, &placement);
    Ok([
        &text.before_content,
        &draft.content,
        &text.before_hashes,
        &text.after_hashes,
        &text.redacts,
        &text.before_signatures,
        &text.after_signatures,
    ]
    .map(String::as_str)
    .concat())
}

/// Where an event on top of `room` goes.
fn placement<'a>(
    draft: &Draft<'_>,
    room: &'a RoomSnapshot,
    rules: &RoomVersionRules,
) -> Result<Placement<'a>, BuildError> {
    let newest = room.extremities.len().saturating_sub(MAX_PREV_EVENTS);
    Ok(Placement {
        auth_events: auth_events(draft, room, rules)?,
        prev_events: room.extremities.iter().skip(newest).cloned().collect(),
        depth: room.depth.saturating_add(1).min(MAX_DEPTH),
        room_id: Some(&room.room_id),
    })
}

/// The events of the room's state that allow this one, in a fixed order.
fn auth_events(
    draft: &Draft<'_>,
    room: &RoomSnapshot,
    rules: &RoomVersionRules,
) -> Result<Vec<OwnedEventId>, BuildError> {
    let content: Box<RawValue>;
    let content = if draft.kind == TimelineEventType::RoomMember {
        content = RawValue::from_string(draft.content.clone())
            .map_err(|error| BuildError::Content(error.into()))?;
        &*content
    } else {
        // Only the content of membership events matters to the selection.
        RawValue::NULL
    };
    let slots = auth_types_for_event(
        &draft.kind,
        draft.sender,
        draft.state_key.as_deref(),
        content,
        &rules.authorization,
    )
    .map_err(|reason| BuildError::Member { reason })?;
    Ok(slots
        .iter()
        .filter_map(|(kind, state_key)| room.get(kind, state_key))
        .map(|event| event.pdu.event_id().to_owned())
        .collect())
}

/// Where an event goes.
struct Placement<'a> {
    auth_events: Vec<OwnedEventId>,
    prev_events: Vec<OwnedEventId>,
    depth: u64,
    room_id: Option<&'a RoomId>,
}

/// A template whose content has become text.
struct Draft<'a> {
    kind: TimelineEventType,
    state_key: Option<String>,
    sender: &'a UserId,
    ts: MilliSecondsSinceUnixEpoch,
    content: String,
    /// The content that survives redaction.
    kept_content: String,
    /// `redacts` at the top level.
    redacts: Option<OwnedEventId>,
}

impl<'a> Draft<'a> {
    fn new(
        template: EventTemplate,
        sender: &'a UserId,
        ts: MilliSecondsSinceUnixEpoch,
        rules: &'static RoomVersionRules,
    ) -> Result<Self, BuildError> {
        let EventTemplate {
            kind,
            state_key,
            mut content,
            mut redacts,
        } = template;
        format::check_field("sender", sender.as_str(), rules)?;
        if let Some(state_key) = &state_key {
            format::check_field("state_key", state_key, rules)?;
        }
        let kind_text = kind.to_string();
        format::check_field("type", &kind_text, rules)?;
        if rules.redaction.content_field_redacts
            && let Some(target) = redacts.take()
        {
            content.insert(
                "redacts".to_owned(),
                CanonicalJsonValue::String(target.into()),
            );
        }
        let text = canonical::to_text(&content);
        let kept_content = if content.is_empty() {
            text.clone()
        } else {
            redact_content_in_place(&mut content, &rules.redaction, &kind_text);
            canonical::to_text(&content)
        };
        Ok(Self {
            kind,
            state_key,
            sender,
            ts,
            content: text,
            kept_content,
            redacts,
        })
    }

    fn finish(
        self,
        placement: &Placement<'_>,
        room_id: &RoomId,
        signer: &EventSigner,
    ) -> Result<Pdu, BuildError> {
        let (event_id, json) = self.sign(placement, signer)?;
        Ok(Pdu::parse(event_id, room_id, json, false)?)
    }

    /// The id of the event is the id of the room, but for the sigil.
    fn finish_create(
        self,
        placement: &Placement<'_>,
        signer: &EventSigner,
    ) -> Result<Pdu, BuildError> {
        let (event_id, json) = self.sign(placement, signer)?;
        let hash = event_id.as_str().trim_start_matches('$');
        let room_id = RoomId::new_v2(hash)?;
        Ok(Pdu::parse(event_id, &room_id, json, false)?)
    }

    /// The event's id and its canonical JSON.
    fn sign(
        self,
        placement: &Placement<'_>,
        signer: &EventSigner,
    ) -> Result<(OwnedEventId, String), BuildError> {
        let text = Text::of(&self, placement);

        // The content hash covers everything but hashes, signatures and unsigned.
        let mut sha256 = Sha256::new();
        sha256.update(&text.before_content);
        sha256.update(&self.content);
        sha256.update(&text.before_hashes);
        sha256.update(&text.after_hashes);
        sha256.update(&text.redacts);
        sha256.update(&text.before_signatures);
        sha256.update(&text.after_signatures);
        let hashes = format!(
            "\"hashes\":{{\"sha256\":\"{}\"}},",
            STANDARD_NO_PAD.encode(sha256.finalize())
        );

        // Signature and reference hash cover the redacted event without signatures and unsigned;
        // a top-level `redacts` does not survive redaction.
        let redacted = [
            &text.before_content,
            &self.kept_content,
            &text.before_hashes,
            &hashes,
            &text.after_hashes,
            &text.before_signatures,
            &text.after_signatures,
        ]
        .map(String::as_str)
        .concat();
        let signature = signer.key.sign(redacted.as_bytes());
        let signatures = format!(
            "\"signatures\":{{{}:{{\"{}\":\"{}\"}}}},",
            quoted(signer.server_name.as_str()),
            signature.id(),
            signature.base64(),
        );
        let event_id = reference_id(&redacted)?;

        let json = [
            &text.before_content,
            &self.content,
            &text.before_hashes,
            &hashes,
            &text.after_hashes,
            &text.redacts,
            &text.before_signatures,
            &signatures,
            &text.after_signatures,
        ]
        .map(String::as_str)
        .concat();
        format::check_size(json.len())?;
        Ok((event_id, json))
    }
}

/// The event id that the redacted text gives: the form of room versions 4 and later.
fn reference_id(redacted: &str) -> Result<OwnedEventId, IdParseError> {
    EventId::new_v2_or_v3(&URL_SAFE_NO_PAD.encode(Sha256::digest(redacted)))
}
