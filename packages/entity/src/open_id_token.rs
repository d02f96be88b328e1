//! A token with which a user shows somebody else who they are.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
    token_hash::TokenHash,
};

/// An `OpenID` token: whoever has it may ask this server whose it is, and nothing else. Removed
/// when it has expired.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#openid)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIdToken {
    /// When it expires, in 16 hexadecimal digits, and then its hash, so that expired tokens are
    /// one range.
    pub id: String,
    /// Whose.
    pub user: OwnedUserId,
    /// When it expires.
    pub expires_ts: MilliSecondsSinceUnixEpoch,
}

/// How many characters of a token say when it expires.
const EXPIRY_CHARS: usize = 16;

impl OpenIdToken {
    /// The text of a token that expires then.
    pub fn text(expires: MilliSecondsSinceUnixEpoch, random: &str) -> String {
        format!("{:016x}{random}", u64::from(expires.get()))
    }

    /// The id of a token; none for a text that is no token.
    pub fn id_of(text: &str) -> Option<String> {
        let expiry = text.get(..EXPIRY_CHARS)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        expiry
            .bytes()
            .all(is_hex)
            .then(|| format!("{expiry}{}", TokenHash::of(text)))
    }

    /// The key of a token.
    pub fn key_of(id: &str) -> Key {
        key![id]
    }

    /// Before every token.
    pub fn first_key() -> Key {
        key![""]
    }

    /// After every token that has expired by now, before all others.
    pub fn key_of_expiry(now: MilliSecondsSinceUnixEpoch) -> Key {
        key![Self::text(now, "")]
    }
}

impl Stored for OpenIdToken {
    const TABLE: &'static str = "open_id_token";
    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use ruma::UInt;

    use super::*;

    #[test]
    fn tokens_sort_by_their_expiry() {
        let at = |ms: u32| MilliSecondsSinceUnixEpoch(UInt::from(ms));
        let id = |ms| OpenIdToken::id_of(&OpenIdToken::text(at(ms), "secret")).unwrap();
        assert!(id(9) < id(10) && id(10) < id(300));
        assert!(OpenIdToken::key_of(&id(9)) < OpenIdToken::key_of_expiry(at(10)));
        assert!(OpenIdToken::key_of(&id(10)) > OpenIdToken::key_of_expiry(at(10)));
        assert!(!id(9).contains("secret"));
    }

    #[test]
    fn what_is_no_token_has_no_id() {
        for text in [
            "",
            "short",
            "ä234567890123456",
            "g000000000000000x",
            "éééééééééé",
        ] {
            assert_eq!(OpenIdToken::id_of(text), None, "{text}");
        }
    }
}
