//! Failures of the database and of the caches above it.

use matryx_client::sync::SyncError;
use matryx_surrealdb::StoreError;
use ruma::api::error::ErrorKind;

use super::ApiError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // Besides a database that is away, a race that the domain did not expect: to try again
            // is right, to know why is not the client's business.
            StoreError::Unavailable { .. }
            | StoreError::Conflict { .. }
            | StoreError::Exists { .. } => Self::unavailable(&error),
            StoreError::Inconsistent { .. }
            | StoreError::Unencodable { .. }
            | StoreError::Schema(_)
            | StoreError::Driver(_) => Self::internal(&error),
        }
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::InvalidToken => {
                Self::bad_request(ErrorKind::InvalidParam, error.to_string())
            }
            SyncError::Store(error) => error.into(),
            SyncError::Event(_) | SyncError::Redact(_) | SyncError::Inconsistent { .. } => {
                Self::internal(&error)
            }
        }
    }
}
