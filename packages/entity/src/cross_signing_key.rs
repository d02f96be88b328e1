//! The keys with which a user signs devices and other users.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A cross-signing key of a user, of this server or of one whose list is kept here.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#cross-signing)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossSigningKey {
    /// Whose.
    pub user: OwnedUserId,
    /// What for.
    pub usage: CrossSigningUsage,
    /// The key with its owner's signatures, as canonical JSON.
    pub json: String,
}

/// What a cross-signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrossSigningUsage {
    /// Signs the other two, and is what other users sign.
    Master,
    /// Signs the user's own devices.
    SelfSigning,
    /// Signs other users' master keys.
    UserSigning,
}

impl CrossSigningUsage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Master, Self::SelfSigning, Self::UserSigning];

    /// As it is written in a key's `usage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }
}

impl CrossSigningKey {
    /// The key of a user's cross-signing key.
    pub fn key_of(user: &UserId, usage: CrossSigningUsage) -> Key {
        key![user.as_str(), usage.as_str()]
    }
}

impl Stored for CrossSigningKey {
    const TABLE: &'static str = "cross_signing_key";
    fn key(&self) -> Key {
        Self::key_of(&self.user, self.usage)
    }
}
