//! Transactions of other servers that could not be worked through.

use std::time::Duration;

use super::ApiError;
use crate::federation::transactions::Undone;

/// How soon a server may send a transaction again that there is no room for.
const RETRY: Duration = Duration::from_secs(5);

impl From<Undone> for ApiError {
    fn from(error: Undone) -> Self {
        match error {
            Undone::BrokeDown => Self::panicked(),
            Undone::TooMany => Self::limited(RETRY),
            Undone::Store(error) => error.into(),
        }
    }
}
