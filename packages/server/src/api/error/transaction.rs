//! Transactions of other servers that could not be worked through.

use super::ApiError;
use crate::federation::transactions::Undone;

impl From<Undone> for ApiError {
    fn from(error: Undone) -> Self {
        match error {
            Undone::BrokeDown => Self::panicked(),
            Undone::Store(error) => error.into(),
        }
    }
}
