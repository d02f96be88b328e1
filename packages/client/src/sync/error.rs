//! Why the sync engine cannot answer.

use matryx_entity::{pdu::MalformedPdu, redact::RedactError};
use matryx_surrealdb::StoreError;

/// Why a read through the sync engine failed. "Not found" is not an error but `None`.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// `since` is not a token that this server made.
    #[error("the token in `since` is not valid")]
    InvalidToken,
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event is not a PDU.
    #[error("the database holds a damaged event")]
    Event(#[from] MalformedPdu),
    /// A stored event can't be redacted.
    #[error("the database holds a damaged event")]
    Redact(#[from] RedactError),
    /// The rows of a room contradict each other.
    #[error("room {room}: {what}")]
    Inconsistent {
        /// The room's number.
        room: i64,
        /// What does not fit.
        what: &'static str,
    },
}
