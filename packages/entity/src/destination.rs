//! Another server that lags behind with what this one sends.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// A server that could not be reached, or has not caught up since. A server to which everything
/// goes at once has no record: for those [`crate::delivery_mark::DeliveryMark`] speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Its name.
    pub server: OwnedServerName,
    /// Everything up to here was delivered, one position per log.
    pub delivered: Vec<Position>,
    /// How many attempts have failed since the last that succeeded.
    pub failures: u32,
    /// When the first of them failed.
    pub failing_since: MilliSecondsSinceUnixEpoch,
    /// When the next attempt is due.
    pub retry_at: MilliSecondsSinceUnixEpoch,
    /// Why the last one failed.
    pub reason: String,
}

impl Stored for Destination {
    const TABLE: &'static str = "destination";
    fn key(&self) -> Key {
        key![self.server.as_str()]
    }
}
