//! Failures of the room domain.

use http::StatusCode;
use matryx_entity::{build::BuildError, canonical::CanonicalError};
use ruma::api::error::ErrorKind;

use super::ApiError;
use crate::room::{RoomError, acl::AclDenied};

impl From<AclDenied> for ApiError {
    fn from(error: AclDenied) -> Self {
        Self::forbidden(error.to_string())
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        let message = error.to_string();
        let bad = |kind| Self::bad_request(kind, message.clone());
        match error {
            RoomError::UnknownRoom(_)
            | RoomError::UnknownEvent(_)
            | RoomError::NoSuchState
            | RoomError::NoEventNear
            | RoomError::UnknownAlias(_)
            | RoomError::UnknownUser(_) => Self::not_found(message),
            // 401 would be about this server's user, of whom the other knows nothing.
            RoomError::Refused(refusal)
                if refusal.status != 401 && (400..500).contains(&refusal.status) =>
            {
                let status = StatusCode::from_u16(refusal.status);
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                Self::new(status, retold(refusal.kind), message)
            }
            RoomError::Refused(_) | RoomError::BadAnswer { .. } | RoomError::Unreachable(_) => {
                Self::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message)
            }
            RoomError::NotInRoom(_)
            | RoomError::Unauthorized(_)
            | RoomError::Forbidden(_)
            | RoomError::DeactivatedUser(_) => Self::forbidden(message),
            RoomError::AliasTaken(_) => bad(ErrorKind::RoomInUse),
            RoomError::AliasExists(_) => {
                Self::new(StatusCode::CONFLICT, ErrorKind::Unknown, message)
            }
            RoomError::AliasReserved(_) => bad(ErrorKind::Exclusive),
            RoomError::BadAlias(_) => bad(ErrorKind::BadAlias),
            RoomError::InvalidRoomState(_) => bad(ErrorKind::InvalidRoomState),
            RoomError::InviteBlocked(_) => {
                Self::new(StatusCode::FORBIDDEN, ErrorKind::InviteBlocked, message)
            }
            RoomError::NoGuests => Self::new(
                StatusCode::FORBIDDEN,
                ErrorKind::GuestAccessForbidden,
                message,
            ),
            RoomError::UnableToGrantJoin => bad(ErrorKind::UnableToGrantJoin),
            RoomError::NoIdentityServer => bad(ErrorKind::ThreepidDenied),
            RoomError::StillInRoom => bad(ErrorKind::Unknown),
            RoomError::InvalidParam(_) => bad(ErrorKind::InvalidParam),
            RoomError::BadJson(_) => bad(ErrorKind::BadJson),
            RoomError::UnsupportedVersion(_) => bad(ErrorKind::UnsupportedRoomVersion),
            RoomError::Build(error) => error.into(),
            RoomError::Sync(error) => error.into(),
            RoomError::Store(error) => error.into(),
            RoomError::Redact(_)
            | RoomError::Malformed(_)
            | RoomError::Resolve(_)
            | RoomError::Damaged(_) => Self::internal(&error),
            RoomError::Busy | RoomError::ShuttingDown => Self::unavailable(&error),
            RoomError::Crowded => Self::busy(message),
        }
    }
}

/// What another server may say to our clients. Anything else they could take for our own word: that
/// their token is no longer valid, say, on which they log out.
fn retold(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::BadJson
        | ErrorKind::BadState
        | ErrorKind::Forbidden
        | ErrorKind::GuestAccessForbidden
        | ErrorKind::IncompatibleRoomVersion(_)
        | ErrorKind::InvalidParam
        | ErrorKind::InviteBlocked
        | ErrorKind::LimitExceeded(_)
        | ErrorKind::NotFound
        | ErrorKind::TooLarge
        | ErrorKind::UnableToAuthorizeJoin
        | ErrorKind::UnableToGrantJoin
        | ErrorKind::UnsupportedRoomVersion => kind,
        _ => ErrorKind::Unknown,
    }
}

impl From<BuildError> for ApiError {
    fn from(error: BuildError) -> Self {
        let message = error.to_string();
        match error {
            BuildError::Content(CanonicalError::NotJson(_)) => {
                Self::bad_request(ErrorKind::NotJson, message)
            }
            BuildError::Content(CanonicalError::NotCanonical(_)) | BuildError::Member { .. } => {
                Self::bad_request(ErrorKind::BadJson, message)
            }
            BuildError::Version(_) => Self::bad_request(ErrorKind::UnsupportedRoomVersion, message),
            BuildError::Format(error) if error.is_too_large() => Self::too_large(message),
            BuildError::Format(_) => Self::bad_request(ErrorKind::BadJson, message),
            BuildError::Malformed(_) | BuildError::Id(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::api::error::UnknownTokenErrorData;

    use super::*;

    #[test]
    fn nobody_else_says_that_a_token_is_void() {
        let void = ErrorKind::UnknownToken(UnknownTokenErrorData::new());
        assert_eq!(retold(void), ErrorKind::Unknown);
        assert_eq!(retold(ErrorKind::Forbidden), ErrorKind::Forbidden);
    }
}
