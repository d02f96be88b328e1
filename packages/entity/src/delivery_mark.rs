//! How far the changes of this server were delivered to the other servers.

use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// Up to where everything was delivered to every server that has no record of its own as a
/// [`crate::destination::Destination`]. Written now and then: what came after the last mark is
/// sent again after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryMark {
    /// One position per log.
    pub delivered: Vec<Position>,
}

impl DeliveryMark {
    /// The key of the only mark.
    pub fn only() -> Key {
        key!["only"]
    }
}

impl Stored for DeliveryMark {
    const TABLE: &'static str = "delivery_mark";
    fn key(&self) -> Key {
        Self::only()
    }
}
