//! A filter that a client uploaded to name it in later requests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A stored filter. Kept with its account: clients remember the id for good.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#filtering)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Whose.
    pub user: OwnedUserId,
    /// Its id, made from its content: the same filter uploaded twice is stored once.
    pub filter_id: String,
    /// The filter as JSON text.
    pub json: String,
}

impl Filter {
    /// A filter with the id that its content gives it.
    pub fn new(user: OwnedUserId, json: String) -> Self {
        let digest = Sha256::digest(json.as_bytes());
        let short = digest.iter().copied().take(12).collect::<Vec<_>>();
        Self {
            user,
            filter_id: URL_SAFE_NO_PAD.encode(short),
            json,
        }
    }

    /// The key of a filter.
    pub fn key_of(user: &UserId, filter_id: &str) -> Key {
        key![user.as_str(), filter_id]
    }
}

impl Stored for Filter {
    const TABLE: &'static str = "filter";
    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.filter_id)
    }
}
