//! The server's own signing keys that were replaced.

use ruma::{MilliSecondsSinceUnixEpoch, serde::Base64};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The public half of a key that this server no longer signs with. Kept for ever: others verify
/// old events with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSigningKey {
    /// The key's id, `ed25519:VERSION`.
    pub id: String,
    /// The public key, in unpadded base64.
    pub key: Base64,
    /// When it was replaced.
    pub expired_ts: MilliSecondsSinceUnixEpoch,
}

impl Stored for OldSigningKey {
    const TABLE: &'static str = "old_signing_key";
    fn key(&self) -> Key {
        key![self.id.as_str()]
    }
}
