//! Failures of the domain of end-to-end encryption.

use http::StatusCode;
use matryx_entity::signed_object::KeyFault;
use ruma::api::error::ErrorKind;

use super::ApiError;
use crate::e2ee::{E2eeError, remote::RemoteError};

impl From<E2eeError> for ApiError {
    fn from(error: E2eeError) -> Self {
        let message = error.to_string();
        match error {
            E2eeError::NoDevice | E2eeError::NoMasterKey => {
                Self::bad_request(ErrorKind::MissingParam, message)
            }
            E2eeError::Key(KeyFault::Json(_)) | E2eeError::Malformed(_) => {
                Self::bad_request(ErrorKind::BadJson, message)
            }
            E2eeError::Key(KeyFault::Signature(_)) => Self::invalid_signature(&message),
            E2eeError::Key(KeyFault::Malformed(_) | KeyFault::Unsigned(_))
            | E2eeError::InvalidParam(_)
            | E2eeError::KeyExists(_)
            | E2eeError::Elsewhere => Self::invalid_param(message),
            E2eeError::TooLarge(_) => Self::too_large(message),
            E2eeError::KeyIdInUse => {
                Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
            }
            E2eeError::NoSuchUser | E2eeError::NoDehydratedDevice => Self::not_found(message),
            E2eeError::User(error) => error.into(),
            E2eeError::Store(error) | E2eeError::Remote(RemoteError::Store(error)) => error.into(),
            E2eeError::Remote(RemoteError::Sync(error)) => error.into(),
            E2eeError::Remote(RemoteError::Malformed(error)) => Self::internal(&error),
            E2eeError::Damaged(_) | E2eeError::KeyId(_) | E2eeError::Json(_) => {
                Self::internal(&error)
            }
        }
    }
}
