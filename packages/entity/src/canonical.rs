//! Strict canonical JSON, read straight from text.
//!
//! Ruma's own parser goes through `serde_json::Value` and reports every fault alike; here a fault
//! of the text and a number that canonical JSON forbids are different errors, because a client
//! gets `M_NOT_JSON` for the one and `M_BAD_JSON` for the other. Of a repeated object key the last
//! value wins, for hashing and for storage alike.

mod loose;

use std::fmt;

use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::error::Category;

pub use self::loose::loose_text;

/// The text is not canonical JSON.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// It is not JSON, or nested deeper than the parser's limit of 128: `M_NOT_JSON`.
    #[error("malformed JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON, but not an object, or has a number that is not an integer within ±(2^53 − 1):
    /// `M_BAD_JSON`.
    #[error("{0}")]
    NotCanonical(#[source] serde_json::Error),
}

impl From<serde_json::Error> for CanonicalError {
    fn from(error: serde_json::Error) -> Self {
        match error.classify() {
            Category::Data => Self::NotCanonical(error),
            Category::Io | Category::Syntax | Category::Eof => Self::NotJson(error),
        }
    }
}

/// Reads an object.
///
/// # Errors
/// The text is not an object of canonical JSON.
/// [Spec](https://spec.matrix.org/v1.19/appendices/#canonical-json)
pub fn parse_object(json: &str) -> Result<CanonicalJsonObject, CanonicalError> {
    let Object(object) = serde_json::from_str(json)?;
    Ok(object)
}

/// Writes an object: sorted keys, no white space.
pub fn to_text(object: &CanonicalJsonObject) -> String {
    // Strings, integers and maps with string keys can't fail to serialize.
    serde_json::to_string(object).unwrap_or_default()
}

struct Object(CanonicalJsonObject);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::deserialize(deserializer)?.0 {
            CanonicalJsonValue::Object(object) => Ok(Self(object)),
            _ => Err(D::Error::custom("expected an object")),
        }
    }
}

struct Strict(CanonicalJsonValue);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

const NOT_AN_INTEGER: &str = "numbers must be integers between -(2^53 - 1) and 2^53 - 1";

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = CanonicalJsonValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a canonical JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Int::new(value)
            .map(CanonicalJsonValue::Integer)
            .ok_or_else(|| E::custom(NOT_AN_INTEGER))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value)
            .ok()
            .and_then(Int::new)
            .map(CanonicalJsonValue::Integer)
            .ok_or_else(|| E::custom(NOT_AN_INTEGER))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(E::custom(NOT_AN_INTEGER))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(CanonicalJsonValue::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut object = CanonicalJsonObject::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            object.insert(key, value);
        }
        Ok(CanonicalJsonValue::Object(object))
    }
}
