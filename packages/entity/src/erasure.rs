//! Users who had themselves erased.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A user whose account was deactivated with the wish to be erased: what they said is whole to
/// those who were in the room then, and redacted to everybody else. Kept for ever.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Who.
    pub user: OwnedUserId,
    /// Since when.
    pub ts: MilliSecondsSinceUnixEpoch,
}

impl Stored for Erasure {
    const TABLE: &'static str = "erasure";
    fn key(&self) -> Key {
        key![self.user.as_str()]
    }
}
