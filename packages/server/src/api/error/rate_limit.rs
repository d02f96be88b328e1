//! Callers who act too often.

use super::ApiError;
use crate::rate_limit::Limited;

impl From<Limited> for ApiError {
    fn from(error: Limited) -> Self {
        Self::limited(error.retry_after)
    }
}
