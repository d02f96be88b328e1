//! Policy servers: a server of whose choice a room accepts events only with its signature.
//!
//! Its key is part of the room's state, and has nothing to do with the keys of servers.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#policy-servers)

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName, SigningKeyAlgorithm,
    events::{
        StateEventType, TimelineEventType,
        room::policy::{POLICY_SERVER_ED25519_SIGNING_KEY_ID, RoomPolicyEventContent},
    },
    signatures::{VerificationError, verify_policy_server_signature},
};

use crate::{
    auth::AuthError,
    canonical::{self, CanonicalError},
    format::{self, FormatError},
    pdu::{MalformedPdu, Pdu},
    room_snapshot::RoomSnapshot,
    room_versions::{self, UnsupportedRoomVersion},
};

/// Bytes of an ed25519 public key.
const KEY_BYTES: usize = 32;

/// Why an event can't have the signature of a policy server.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The room's version is not supported.
    #[error(transparent)]
    Version(#[from] UnsupportedRoomVersion),
    /// The event is no canonical JSON.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The event is no PDU, or is none with the signature.
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
    /// With the signature it is too large.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The signature is missing or wrong.
    #[error("the room's policy server has not signed the event")]
    Signature(#[from] VerificationError),
}

impl From<PolicyError> for AuthError {
    fn from(error: PolicyError) -> Self {
        error.to_string().into()
    }
}

/// The policy server of a room.
#[derive(Clone, Debug)]
pub struct Policy(RoomPolicyEventContent);

impl Policy {
    /// The room's policy server, if it has one: it must be named with its key, and have a user in
    /// the room, by whom it agrees to be asked.
    pub fn of(room: &RoomSnapshot) -> Option<Self> {
        let event = room.get(&StateEventType::RoomPolicy, "")?;
        let content: RoomPolicyEventContent = event.pdu.content_as()?;
        let key = content.public_keys.get(&SigningKeyAlgorithm::Ed25519)?;
        let is_usable = key.as_bytes().len() == KEY_BYTES;
        (is_usable && room.joined_servers.contains_key(&content.via)).then_some(Self(content))
    }

    /// Who is to be asked.
    pub fn server(&self) -> &ServerName {
        &self.0.via
    }

    /// Does an event need no signature? The one that says which policy server a room has does not,
    /// so that a room can get rid of one.
    pub fn exempts(kind: &TimelineEventType, state_key: Option<&str>) -> bool {
        *kind == TimelineEventType::from(StateEventType::RoomPolicy.to_string())
            && state_key == Some("")
    }

    /// Checks that an event has the signature that it needs.
    ///
    /// # Errors
    /// [`PolicyError::Signature`]
    pub fn check(&self, pdu: &Pdu, room: &RoomSnapshot) -> Result<(), PolicyError> {
        if Self::exempts(pdu.kind(), pdu.state_key()) {
            return Ok(());
        }
        let rules = room_versions::rules(&room.version)?;
        let object = canonical::parse_object(pdu.json())?;
        Ok(verify_policy_server_signature(&self.0, &object, rules)?)
    }

    /// The event with a signature that the policy server has given, beside all others.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn sign(
        &self,
        pdu: &Pdu,
        signature: &str,
        room: &RoomSnapshot,
    ) -> Result<Pdu, PolicyError> {
        let mut object = canonical::parse_object(pdu.json())?;
        let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
        let all = object.entry("signatures".to_owned()).or_insert_with(empty);
        if let CanonicalJsonValue::Object(all) = all
            && let CanonicalJsonValue::Object(own) =
                all.entry(self.0.via.to_string()).or_insert_with(empty)
        {
            let signature = CanonicalJsonValue::String(signature.to_owned());
            own.insert(POLICY_SERVER_ED25519_SIGNING_KEY_ID.to_owned(), signature);
        }
        let text = canonical::to_text(&object);
        format::check_size(text.len())?;
        let event_id = pdu.event_id().to_owned();
        let signed = Pdu::parse(event_id, pdu.room_id(), text, pdu.rejected())?;
        self.check(&signed, room)?;
        Ok(signed)
    }
}
