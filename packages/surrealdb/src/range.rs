//! Ranges of record keys, the cheapest way to read several rows.

use matryx_entity::stored::{Key, KeyPart};
use std::ops::Bound;
use surrealdb_types::{Array, RecordId, RecordIdKey, RecordIdKeyRange, Value};

use crate::codec::{key_part, record_key};

/// Which keys of a table to read. Rows come in the order of their keys: part by part, numbers
/// before strings, numbers by value, strings by code point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bound<RecordIdKey>,
    end: Bound<RecordIdKey>,
}

impl KeyRange {
    /// The whole table.
    pub fn all() -> Self {
        Self {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        }
    }

    /// From `first` to `last`, both included.
    pub fn inclusive(first: &Key, last: &Key) -> Self {
        Self {
            start: Bound::Included(record_key(first)),
            end: Bound::Included(record_key(last)),
        }
    }

    /// From `first`, included, to `end`, excluded.
    pub fn until(first: &Key, end: &Key) -> Self {
        Self {
            start: Bound::Included(record_key(first)),
            end: Bound::Excluded(record_key(end)),
        }
    }

    /// All keys of several parts that begin with these.
    pub fn prefix(prefix: &Key) -> Self {
        Self {
            start: Bound::Included(RecordIdKey::Array(array(&prefix.0, None))),
            end: Bound::Excluded(RecordIdKey::Array(array(&prefix.0, Some(highest())))),
        }
    }

    /// All keys from `first` on, included, that share all of its parts but the last.
    pub fn rest_of_prefix(first: &Key) -> Self {
        let prefix = first
            .0
            .split_last()
            .map_or_else(Vec::new, |(_, prefix)| prefix.to_vec());
        Self {
            start: Bound::Included(record_key(first)),
            end: Bound::Excluded(RecordIdKey::Array(array(&prefix, Some(highest())))),
        }
    }

    /// The range as a value that a query can read from.
    pub(crate) fn record_id(self, table: &'static str) -> RecordId {
        let range = RecordIdKeyRange {
            start: self.start,
            end: self.end,
        };
        RecordId::new(table, RecordIdKey::Range(Box::new(range)))
    }
}

/// Sorts after every number and every string.
fn highest() -> Value {
    Value::Array(Array::new())
}

fn array(parts: &[KeyPart], last: Option<Value>) -> Array {
    Array::from(parts.iter().map(key_part).chain(last).collect::<Vec<_>>())
}
