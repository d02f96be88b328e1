//! A backup of room keys.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A version of a user's key backup. A version that was deleted stays, so that its number is not
/// given out again.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBackupVersion {
    /// Whose.
    pub user: OwnedUserId,
    /// Its number, from 1 on.
    pub version: i64,
    /// How its keys are encrypted.
    pub algorithm: String,
    /// What belongs to the algorithm, as JSON.
    pub auth_data: String,
    /// Goes up with every change of its keys.
    pub etag: i64,
    /// How many keys it holds.
    pub count: i64,
    /// How large its keys are together, in bytes.
    pub bytes: i64,
    /// The user removed it.
    pub deleted: bool,
}

impl KeyBackupVersion {
    /// The key of a version.
    pub fn key_of(user: &UserId, version: i64) -> Key {
        key![user.as_str(), version]
    }
}

impl Stored for KeyBackupVersion {
    const TABLE: &'static str = "key_backup_version";
    fn key(&self) -> Key {
        Self::key_of(&self.user, self.version)
    }
}
