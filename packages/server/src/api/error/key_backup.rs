//! Failures of key backups.

use http::StatusCode;
use ruma::api::error::{ErrorKind, WrongRoomKeysVersionErrorData};
use serde_json::error::Category;

use super::ApiError;
use crate::key_backup::KeyBackupError;

impl From<KeyBackupError> for ApiError {
    fn from(error: KeyBackupError) -> Self {
        let message = error.to_string();
        match error {
            KeyBackupError::NotFound(_) => Self::not_found(message),
            KeyBackupError::WrongVersion { current } => {
                let data = WrongRoomKeysVersionErrorData::new(current.to_string());
                Self::new(
                    StatusCode::FORBIDDEN,
                    ErrorKind::WrongRoomKeysVersion(data),
                    message,
                )
            }
            KeyBackupError::InvalidParam(_) => Self::invalid_param(message),
            KeyBackupError::Malformed(cause) => match cause.classify() {
                Category::Data => Self::bad_request(ErrorKind::BadJson, message),
                _ => Self::bad_request(ErrorKind::NotJson, message),
            },
            KeyBackupError::TooLarge(_) => Self::too_large(message),
            KeyBackupError::Unreadable(_) | KeyBackupError::Broken(_) => Self::internal(&error),
            KeyBackupError::Store(error) => error.into(),
        }
    }
}
