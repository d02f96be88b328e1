//! Tokens with which newcomers register, and the record of each use.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A token that an operator hands to a newcomer. Kept until the operator removes it; the first
/// administrator's token goes when it is used.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationToken {
    /// The token. In the clear, because the operator lists tokens to hand them out.
    pub token: String,
    /// How many accounts it registers; none for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_allowed: Option<u32>,
    /// When it stops being valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The account becomes an administrator.
    #[serde(default)]
    pub admin: bool,
}

impl RegistrationToken {
    /// The longest token, from the specification.
    pub const MAX_CHARS: usize = 64;

    /// The key of a token.
    pub fn key_of(token: &str) -> Key {
        key![token]
    }

    /// Is it still valid at this time, as far as its date says?
    pub fn is_current(&self, now: MilliSecondsSinceUnixEpoch) -> bool {
        self.expires_ts.is_none_or(|expires| now < expires)
    }
}

impl Stored for RegistrationToken {
    const TABLE: &'static str = "registration_token";
    fn key(&self) -> Key {
        Self::key_of(&self.token)
    }
}

/// One use of a token that allows a number of uses. Creating use number `n` is what claims it, so
/// that no two registrations, in whatever process, take the same. Removed with the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationTokenUse {
    /// The token.
    pub token: String,
    /// Which use this is, from 1.
    pub number: u32,
    /// Who registered with it.
    pub user: OwnedUserId,
}

impl RegistrationTokenUse {
    /// What the keys of all uses of a token begin with.
    pub fn prefix_of(token: &str) -> Key {
        key![token]
    }
}

impl Stored for RegistrationTokenUse {
    const TABLE: &'static str = "registration_token_use";
    fn key(&self) -> Key {
        key![self.token.as_str(), i64::from(self.number)]
    }
}
