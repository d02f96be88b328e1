//! Failures of presence.

use http::StatusCode;
use ruma::api::error::ErrorKind;

use super::ApiError;
use crate::presence::PresenceError;

impl From<PresenceError> for ApiError {
    fn from(error: PresenceError) -> Self {
        let message = error.to_string();
        match error {
            PresenceError::NotYours | PresenceError::NotShared => Self::forbidden(message),
            PresenceError::TooLong => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message)
            }
            PresenceError::UnknownState => Self::invalid_param(message),
            PresenceError::Sync(error) => error.into(),
            PresenceError::Store(error) => error.into(),
        }
    }
}
