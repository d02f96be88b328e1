//! Failures of the account domain.

use std::time::Duration;

use http::StatusCode;
use matryx_entity::{profile::ProfileLimit, push::edit::EditError};
use ruma::api::error::ErrorKind;

use super::ApiError;
use crate::user::UserError;

/// How long a client waits when the server is busy with passwords.
const BUSY_RETRY: Duration = Duration::from_secs(2);

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        let message = error.to_string();
        let (status, kind) = match error {
            UserError::Interactive(info) => {
                return Self::with_body(StatusCode::UNAUTHORIZED, &info);
            }
            UserError::InvalidUsername(_) => (StatusCode::BAD_REQUEST, ErrorKind::InvalidUsername),
            UserError::NameTaken => (StatusCode::BAD_REQUEST, ErrorKind::UserInUse),
            UserError::Exclusive(_) => (StatusCode::BAD_REQUEST, ErrorKind::Exclusive),
            UserError::WeakPassword(_) => (StatusCode::BAD_REQUEST, ErrorKind::WeakPassword),
            UserError::Unsupported(_) => (StatusCode::BAD_REQUEST, ErrorKind::Unknown),
            UserError::MissingParam(_) => (StatusCode::BAD_REQUEST, ErrorKind::MissingParam),
            UserError::InvalidParam(_) => (StatusCode::BAD_REQUEST, ErrorKind::InvalidParam),
            UserError::NotAnObject => (StatusCode::BAD_REQUEST, ErrorKind::BadJson),
            UserError::GuestsDisabled => (StatusCode::FORBIDDEN, ErrorKind::GuestAccessForbidden),
            UserError::RegistrationClosed
            | UserError::OperationChanged
            | UserError::BadCredentials
            | UserError::Forbidden(_) => (StatusCode::FORBIDDEN, ErrorKind::Forbidden),
            UserError::Deactivated => (StatusCode::FORBIDDEN, ErrorKind::UserDeactivated),
            UserError::Locked => return Self::locked(),
            UserError::MissingToken => (StatusCode::UNAUTHORIZED, ErrorKind::MissingToken),
            UserError::UnknownToken | UserError::UnknownOpenId => {
                return Self::unknown_token(false);
            }
            UserError::ExpiredToken => return Self::unknown_token(true),
            UserError::Elsewhere(_) => (StatusCode::BAD_GATEWAY, ErrorKind::Unknown),
            UserError::NotFound(_) => (StatusCode::NOT_FOUND, ErrorKind::NotFound),
            UserError::TooLarge(_) => return Self::too_large(message),
            UserError::ManagedType(_) => (StatusCode::METHOD_NOT_ALLOWED, ErrorKind::BadJson),
            UserError::Profile(ProfileLimit::Profile) => {
                (StatusCode::BAD_REQUEST, ErrorKind::ProfileTooLarge)
            }
            UserError::Profile(ProfileLimit::Key) => {
                (StatusCode::BAD_REQUEST, ErrorKind::KeyTooLarge)
            }
            UserError::PushRules(EditError::NotFound | EditError::NoSuchNeighbour) => {
                (StatusCode::NOT_FOUND, ErrorKind::NotFound)
            }
            UserError::PushRules(EditError::ServerDefault) => {
                (StatusCode::BAD_REQUEST, ErrorKind::Unknown)
            }
            UserError::PushRules(EditError::InvalidRule(_) | EditError::TooMany) => {
                (StatusCode::BAD_REQUEST, ErrorKind::InvalidParam)
            }
            UserError::Busy => return Self::limited(BUSY_RETRY),
            UserError::Store(error) => return error.into(),
            UserError::Sync(error) => return error.into(),
            UserError::Hash(_)
            | UserError::Pool(_)
            | UserError::Json(_)
            | UserError::Rooms(_)
            | UserError::KeyBackup(_) => {
                return Self::internal(&error);
            }
        };
        Self::new(status, kind, message)
    }
}
