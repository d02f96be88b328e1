//! What makes a Rust struct a stored record: a table and a key.
//!
//! One entity is one table is one file. The store writes the record's serde form under its key;
//! nothing here knows how.

use serde::{Serialize, de::DeserializeOwned};

use crate::position::Position;

/// A record of one table.
///
/// A record with a field `at:` [`crate::position::Position`] is *stamped*: the log writer fills
/// that field with the position of a log entry of the same plan.
pub trait Stored: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The table's name.
    const TABLE: &'static str;

    /// The record's key within the table.
    fn key(&self) -> Key;
}

/// One part of a record key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyPart {
    /// A number, such as a room number or a position.
    Int(i64),
    /// A string, such as a user id.
    Text(String),
}

/// A record key: one part is a plain id, several are an array id, which sorts part by part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Vec<KeyPart>);

impl Key {
    /// This key with a position added: its node and its sequence number.
    #[must_use]
    pub fn at(mut self, at: Position) -> Self {
        // A log of 2^63 entries does not exist.
        let seq = i64::try_from(at.seq).unwrap_or(i64::MAX);
        self.0.extend([i64::from(at.node).into(), seq.into()]);
        self
    }
}

impl From<i64> for KeyPart {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for KeyPart {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for KeyPart {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// Builds a [`Key`] from its parts: `key![room, pos]`.
#[macro_export]
macro_rules! key {
    ($($part:expr),+ $(,)?) => {
        $crate::stored::Key(vec![$($crate::stored::KeyPart::from($part)),+])
    };
}
