//! A user's device: one login and the tokens that it holds.

use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
    token_hash::TokenHash,
};

/// An access token and the refresh token that was given out with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPair {
    /// The access token.
    pub access: TokenHash,
    /// The refresh token, if the client uses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<TokenHash>,
}

impl TokenPair {
    /// The hashes of both.
    pub fn hashes(&self) -> impl Iterator<Item = TokenHash> + use<> {
        [Some(self.access), self.refresh].into_iter().flatten()
    }
}

/// A device. Removed when it logs out, and with its account.
///
/// It is the one place that says which tokens are valid; the token records only lead here.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#relationship-between-access-tokens-and-devices)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Whose.
    pub user: OwnedUserId,
    /// Its id, unique for the user.
    pub device_id: OwnedDeviceId,
    /// The name that the user gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// When it was first seen.
    pub created_ts: MilliSecondsSinceUnixEpoch,
    /// The tokens that it holds; none for a device that an application service made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenPair>,
    /// The tokens before the last refresh. They stay valid until a new one is used, because the
    /// answer that carried those may have been lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<TokenPair>,
}

impl Device {
    /// The key of a device.
    pub fn key_of(user: &UserId, device: &DeviceId) -> Key {
        key![user.as_str(), device.as_str()]
    }

    /// The hashes of all tokens that belong to the device.
    pub fn hashes(&self) -> impl Iterator<Item = TokenHash> + use<> {
        let pairs = [self.tokens, self.previous];
        pairs.into_iter().flatten().flat_map(|pair| pair.hashes())
    }
}

impl Stored for Device {
    const TABLE: &'static str = "device";
    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.device_id)
    }
}
