//! What a user says of another user's key. Nobody else is told.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// Signatures that a user of this server made of another user's master key.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#cross-signing)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySignature {
    /// Who signed.
    pub signer: OwnedUserId,
    /// Whose key.
    pub target: OwnedUserId,
    /// Which key: its public half.
    pub key_id: String,
    /// The signatures by the id of the key that made them, as JSON.
    pub signatures: String,
    /// When they last changed.
    pub at: Position,
}

impl KeySignature {
    /// The key of what a user says of a key.
    pub fn key_of(signer: &UserId, target: &UserId, key_id: &str) -> Key {
        key![signer.as_str(), target.as_str(), key_id]
    }
}

impl Stored for KeySignature {
    const TABLE: &'static str = "key_signature";
    fn key(&self) -> Key {
        Self::key_of(&self.signer, &self.target, &self.key_id)
    }
}
