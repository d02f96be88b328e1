//! Record keys: one part is a plain id, several are an array.

use matryx_entity::stored::{Key, KeyPart};
use surrealdb_types::{Array, Number, RecordId, RecordIdKey, Value};

/// The database's form of a key.
pub(crate) fn record_key(key: &Key) -> RecordIdKey {
    match key.0.as_slice() {
        [KeyPart::Int(number)] => RecordIdKey::Number(*number),
        [KeyPart::Text(text)] => RecordIdKey::String(text.clone()),
        parts => RecordIdKey::Array(Array::from(parts.iter().map(part).collect::<Vec<_>>())),
    }
}

/// The database's form of a table and a key.
pub(crate) fn record_id(table: &'static str, key: &Key) -> RecordId {
    RecordId::new(table, record_key(key))
}

pub(crate) fn part(part: &KeyPart) -> Value {
    match part {
        KeyPart::Int(number) => Value::Number(Number::Int(*number)),
        KeyPart::Text(text) => Value::String(text.clone()),
    }
}
