//! How far the first set-up of the server has come.

use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The one record of the first set-up, written at the first start and kept for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The token with which the first administrator registers; none once there has been one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_admin_token: Option<String>,
}

impl Setup {
    /// The key of the one record.
    pub fn only() -> Key {
        key!["only"]
    }
}

impl Stored for Setup {
    const TABLE: &'static str = "setup";
    fn key(&self) -> Key {
        Self::only()
    }
}
