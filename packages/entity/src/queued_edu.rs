//! An ephemeral message for another server that must not get lost.

use ruma::{OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// A message that waits for another server. Removed once that server has it.
///
/// The log writer adds the position of its log entry to its key.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#edus)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedEdu {
    /// For which server.
    pub server: OwnedServerName,
    /// When it was queued.
    pub at: Position,
    /// The message, with its `edu_type`, as JSON.
    pub json: String,
}

impl QueuedEdu {
    /// What the keys of all messages for a server begin with.
    pub fn prefix(server: &ServerName) -> Key {
        key![server.as_str()]
    }
}

impl Stored for QueuedEdu {
    const TABLE: &'static str = "queued_edu";
    fn key(&self) -> Key {
        Self::prefix(&self.server)
    }
}
