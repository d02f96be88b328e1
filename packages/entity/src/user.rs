//! A local account.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// Who stands behind an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A person or a bot that logs in.
    Regular,
    /// A guest.
    Guest,
    /// A user of an application service.
    Appservice {
        /// The id of its registration.
        id: String,
    },
}

/// When and how an account was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deactivation {
    /// When.
    pub ts: MilliSecondsSinceUnixEpoch,
    /// Its events are to be shown redacted to users who join later.
    pub erased: bool,
}

/// A local account. Kept for ever: a name that was once taken is never given out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub user_id: OwnedUserId,
    /// Who stands behind it.
    pub kind: UserKind,
    /// The password as an argon2id hash in PHC form; none if it cannot log in with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// May use the administration interface.
    #[serde(default)]
    pub admin: bool,
    /// Locked: every request is refused until it is unlocked.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#account-locking)
    #[serde(default)]
    pub locked: bool,
    /// Suspended: may read, but hardly write.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#account-suspension)
    #[serde(default)]
    pub suspended: bool,
    /// Set once the account is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivated: Option<Deactivation>,
    /// When it was created.
    pub created_ts: MilliSecondsSinceUnixEpoch,
}

impl User {
    /// The key of a user.
    pub fn key_of(user: &UserId) -> Key {
        key![user.as_str()]
    }

    /// Is this a guest account?
    pub fn is_guest(&self) -> bool {
        self.kind == UserKind::Guest
    }
}

impl Stored for User {
    const TABLE: &'static str = "user";
    fn key(&self) -> Key {
        Self::key_of(&self.user_id)
    }
}
