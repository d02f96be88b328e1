//! Failures while a caller is proved.

use super::ApiError;
use crate::caller::LookupError;

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unavailable(_) => Self::unavailable(&error),
            LookupError::Failed(_) => Self::internal(&error),
        }
    }
}
