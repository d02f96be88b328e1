//! Why messages to devices are refused.

use matryx_surrealdb::StoreError;
use thiserror::Error;

use super::{MAX_CONTENT, MAX_MESSAGES};

/// The reasons.
#[derive(Clone, Debug, Error)]
pub enum ToDeviceError {
    /// There are more than [`MAX_MESSAGES`].
    #[error("A request has at most {MAX_MESSAGES} messages")]
    TooMany,
    /// A content has more bytes than [`MAX_CONTENT`].
    #[error("The content of a message has at most {MAX_CONTENT} bytes")]
    TooLarge,
    /// The type is longer than that of an event may be.
    #[error("The type is too long")]
    TypeTooLong,
    /// A content is something else than an object.
    #[error("The content of a message is an object")]
    NotAnObject,
    /// A content for another server is no canonical JSON: it could not be sent on.
    #[error("The content of a message to another server has whole numbers only")]
    NotCanonical,
    /// The database is away or damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}
