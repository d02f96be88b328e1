//! Which messages to devices another server has sent already.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A message to devices that came from another server: it is delivered once, however often it
/// comes.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#send-to-device-messaging)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedMessage {
    /// From which server.
    pub origin: OwnedServerName,
    /// Its `message_id`.
    pub message_id: String,
    /// When it came.
    pub received_ts: MilliSecondsSinceUnixEpoch,
}

impl Stored for ReceivedMessage {
    const TABLE: &'static str = "received_message";
    fn key(&self) -> Key {
        key![self.origin.as_str(), self.message_id.as_str()]
    }
}
