//! A user-interactive authentication between two requests.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// What a client has proved so far. Stored, so that any process can take the next step; removed
/// when the operation is done or the session has expired.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UiaSession {
    /// Its id: when it expires, in 16 hexadecimal digits, and then random, so that expired
    /// sessions are one range.
    pub id: String,
    /// The operation that it was started for; any other is refused.
    pub operation: String,
    /// Who started it; none at registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<OwnedUserId>,
    /// The stages that were passed.
    pub completed: Vec<String>,
    /// The registration token that was accepted; its use is claimed when the account is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_token: Option<String>,
    /// When it expires.
    pub expires_ts: MilliSecondsSinceUnixEpoch,
}

impl UiaSession {
    /// The id of a session that expires then.
    pub fn new_id(expires: MilliSecondsSinceUnixEpoch, random: &str) -> String {
        format!("{:016x}{random}", u64::from(expires.get()))
    }

    /// The key of a session.
    pub fn key_of(id: &str) -> Key {
        key![id]
    }

    /// Before every session.
    pub fn first_key() -> Key {
        key![""]
    }

    /// After every session that has expired by now, before all others.
    pub fn key_of_expiry(now: MilliSecondsSinceUnixEpoch) -> Key {
        key![Self::new_id(now, "")]
    }
}

impl Stored for UiaSession {
    const TABLE: &'static str = "uia_session";
    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }
}
