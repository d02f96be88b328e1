//! From a PDU that somebody sent to one that may be believed.
//!
//! [`Unverified`] has the form of an event and the id that its hash gives, nothing more; what can
//! be stored is a [`Verified`], which only [`Unverified::verify`] makes. Which keys are valid for
//! the event is decided by who holds them; see [`crate::server_keys`].
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events)

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, IdParseError, MilliSecondsSinceUnixEpoch,
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, UInt,
    room_version_rules::RoomVersionRules,
    signatures::{
        self, JsonError, PublicKeyMap, VerificationError,
        required_server_signatures_to_verify_event,
    },
};

use crate::{
    canonical::{self, CanonicalError},
    format::{self, FormatError},
    pdu::{MalformedPdu, Pdu},
    redact::{self, RedactError},
    room_versions::{self, UnsupportedRoomVersion},
};

/// What was sent is not a PDU of its room version; it must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum PduError {
    /// The room's version is not supported.
    #[error(transparent)]
    Version(#[from] UnsupportedRoomVersion),
    /// It is not canonical JSON.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// It breaks a limit of size or shape.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It can't be hashed.
    #[error("cannot hash the event")]
    Hash(#[from] JsonError),
    /// One of its identifiers is none.
    #[error("`{field}` is no identifier")]
    Identifier {
        /// The field.
        field: &'static str,
        /// Why.
        source: IdParseError,
    },
    /// It does not say who must have signed it.
    #[error("cannot tell who must have signed the event")]
    Signers(#[source] VerificationError),
    /// A server that must have signed it has not.
    #[error("{event_id} is not signed by {server}")]
    Unsigned {
        /// The event.
        event_id: OwnedEventId,
        /// The server.
        server: OwnedServerName,
    },
}

/// Why an event can't be believed; it must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedPdu {
    /// A signature is wrong, or made by a key that is not valid.
    #[error("the event is not validly signed")]
    Signature(#[from] VerificationError),
    /// Its content hash is wrong, and it can't be redacted either.
    #[error(transparent)]
    Redact(#[from] RedactError),
    /// It lacks what every PDU has.
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
}

/// A PDU from anywhere: well-formed, with the id of its hash, and not to be believed.
#[derive(Clone, Debug)]
pub struct Unverified {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    signers: BTreeMap<OwnedServerName, Vec<String>>,
    object: CanonicalJsonObject,
    rules: &'static RoomVersionRules,
}

impl Unverified {
    /// Reads a PDU and checks its form: the first of the checks performed on receipt.
    ///
    /// What its sender put in `unsigned` is dropped, for nobody vouches for it.
    ///
    /// # Errors
    /// It is no PDU of this room version.
    pub fn parse(json: &str, version: &RoomVersionId) -> Result<Self, PduError> {
        let rules = room_versions::rules(version)?;
        let mut object = canonical::parse_object(json)?;
        object.remove("unsigned");
        format::check_pdu(&object, canonical::to_text(&object).len(), rules)?;
        let hash = signatures::reference_hash(&object, rules)?;
        let event_id = EventId::new_v2_or_v3(&hash).map_err(identifier("event_id"))?;
        let room_id = match object.get("room_id").and_then(CanonicalJsonValue::as_str) {
            Some(room_id) => RoomId::parse(room_id).map_err(identifier("room_id"))?,
            // The create event of room version 12, whose hash is the id of its room.
            None => RoomId::new_v2(&hash).map_err(identifier("room_id"))?,
        };
        let sender = object.get("sender").and_then(CanonicalJsonValue::as_str);
        let sender =
            OwnedUserId::try_from(sender.unwrap_or_default()).map_err(identifier("sender"))?;
        let signers = signers(&object, rules, &event_id)?;
        Ok(Self {
            event_id,
            room_id,
            sender,
            origin_server_ts: origin_server_ts(&object),
            signers,
            object,
            rules,
        })
    }

    /// The id that the event's hash gives.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// The room that it says it belongs to.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// The user that it says it comes from.
    pub fn sender(&self) -> &ruma::UserId {
        &self.sender
    }

    /// `type`.
    pub fn kind(&self) -> &str {
        let kind = self.object.get("type").and_then(CanonicalJsonValue::as_str);
        kind.unwrap_or_default()
    }

    /// When it says it was sent: the time at which the keys of its signatures must be valid.
    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    /// The whole event, as it was sent, without `unsigned`.
    pub fn object(&self) -> &CanonicalJsonObject {
        &self.object
    }

    /// The servers that must have signed it, each with the ids of the keys that it signed with; at
    /// least one of those must prove right.
    pub fn signers(&self) -> &BTreeMap<OwnedServerName, Vec<String>> {
        &self.signers
    }

    /// Checks the signatures and the content hash: the second and third check on receipt.
    ///
    /// `keys` are the public keys of [`Unverified::signers`] that are valid for this event. An event
    /// whose content hash is wrong is redacted.
    ///
    /// # Errors
    /// A signature is missing or wrong.
    pub fn verify(self, keys: &PublicKeyMap) -> Result<Verified, UntrustedPdu> {
        let verified = signatures::verify_event(keys, &self.object, self.rules)?;
        let mut json = canonical::to_text(&self.object);
        let is_redacted = verified == signatures::Verified::Signatures;
        if is_redacted {
            json = redact::redacted_json(&json, self.rules)?;
        }
        let pdu = Pdu::parse(self.event_id, &self.room_id, json, false)?;
        Ok(Verified {
            pdu: Arc::new(pdu),
            is_redacted,
        })
    }
}

/// An event that is validly signed by who must have signed it, and whose content is theirs.
#[derive(Clone, Debug)]
pub struct Verified {
    pdu: Arc<Pdu>,
    is_redacted: bool,
}

impl Verified {
    /// The event.
    pub fn pdu(&self) -> &Pdu {
        &self.pdu
    }

    /// The event, shared.
    pub fn to_pdu(&self) -> Arc<Pdu> {
        Arc::clone(&self.pdu)
    }

    /// Was its content hash wrong, so that this is the redacted event?
    pub fn is_redacted(&self) -> bool {
        self.is_redacted
    }
}

impl Deref for Verified {
    type Target = Pdu;

    fn deref(&self) -> &Pdu {
        &self.pdu
    }
}

fn identifier(field: &'static str) -> impl FnOnce(IdParseError) -> PduError {
    move |source| PduError::Identifier { field, source }
}

fn origin_server_ts(object: &CanonicalJsonObject) -> MilliSecondsSinceUnixEpoch {
    let ts = match object.get("origin_server_ts") {
        Some(CanonicalJsonValue::Integer(ts)) => UInt::try_from(i64::from(*ts)).unwrap_or_default(),
        _ => UInt::default(),
    };
    MilliSecondsSinceUnixEpoch(ts)
}

fn signers(
    object: &CanonicalJsonObject,
    rules: &RoomVersionRules,
    event_id: &EventId,
) -> Result<BTreeMap<OwnedServerName, Vec<String>>, PduError> {
    let required = required_server_signatures_to_verify_event(object, &rules.signatures)
        .map_err(PduError::Signers)?;
    let signatures = object
        .get("signatures")
        .and_then(CanonicalJsonValue::as_object);
    let mut signers = BTreeMap::new();
    for server in required {
        let keys = signatures
            .and_then(|signatures| signatures.get(server.as_str())?.as_object())
            .map(|signatures| signatures.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default();
        if keys.is_empty() {
            return Err(PduError::Unsigned {
                event_id: event_id.to_owned(),
                server,
            });
        }
        signers.insert(server, keys);
    }
    Ok(signers)
}
