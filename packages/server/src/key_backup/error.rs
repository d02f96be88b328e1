//! Why a request about key backups is refused.

use matryx_surrealdb::StoreError;
use thiserror::Error;

/// The reasons of the key backup domain.
#[derive(Debug, Error)]
pub enum KeyBackupError {
    /// There is no such version, or no such key in it.
    #[error("{0}")]
    NotFound(&'static str),
    /// Keys can be added to the newest version only.
    #[error("The backup's current version is {current}")]
    WrongVersion {
        /// The newest version.
        current: i64,
    },
    /// A field has a value that is not acceptable.
    #[error("{0}")]
    InvalidParam(&'static str),
    /// The request has not the form that the specification asks for.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// Something is larger than it may be.
    #[error("{0}")]
    TooLarge(&'static str),
    /// What is stored is not what was written.
    #[error("a key backup could not be read")]
    Unreadable(#[source] serde_json::Error),
    /// A task broke down.
    #[error("a change of a key backup broke down")]
    Broken(#[from] tokio::task::JoinError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyBackupError {
    /// The version has no key of this session.
    pub const NO_SUCH_KEY: Self = Self::NotFound("There is no such key in the backup");
}
