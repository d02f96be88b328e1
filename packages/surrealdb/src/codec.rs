//! Between serde records and database values.
//!
//! One pass each way, without a detour over JSON. Numbers are signed 64-bit integers or floats;
//! an unsigned number that does not fit is an error, never a float. `None` becomes NONE within
//! an object (the field is left out) and NULL within an array.

mod de;
mod key;
mod ser;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    de::from_value,
    key::{part as key_part, record_id, record_key},
    ser::{to_row, to_value},
};

/// A value does not fit the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

impl serde::ser::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
