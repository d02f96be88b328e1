//! Whose database this is.

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The server that a database belongs to. Written at the first start and kept for ever: another
/// name or another signing key would make every stored event somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// The server's name.
    pub server_name: OwnedServerName,
    /// SHA-256 of the public signing key, in unpadded base64.
    pub signing_key: String,
}

impl ServerIdentity {
    /// The key of the one record.
    pub fn only() -> Key {
        key!["only"]
    }
}

impl Stored for ServerIdentity {
    const TABLE: &'static str = "server_identity";
    fn key(&self) -> Key {
        Self::only()
    }
}
