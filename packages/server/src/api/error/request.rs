//! Requests that the edge itself refuses, before any domain code runs.

use http::StatusCode;
use ruma::api::error::{DeserializationError, ErrorKind};
use thiserror::Error;

use super::ApiError;
use crate::api::extract::HeaderError;

/// Why a request never reached its handler.
#[derive(Debug, Error)]
pub enum RequestError {
    /// No endpoint has this path.
    #[error("Unrecognized request")]
    UnknownPath,
    /// An endpoint has this path, but not with this method.
    #[error("Method not allowed")]
    UnknownMethod,
    /// A path argument is not UTF-8 after percent-decoding.
    #[error("Invalid UTF-8 in path parameter `{key}`")]
    PathNotUtf8 {
        /// Which one.
        key: String,
    },
    /// The body is longer than allowed.
    #[error("The request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The most that is allowed.
        limit: usize,
    },
    /// The body ended early or broke HTTP's rules.
    #[error("The request body could not be read")]
    BodyUnreadable,
    /// The body is compressed.
    #[error("Content-Encoding is not supported")]
    Compressed,
    /// The body is no JSON that we accept.
    #[error("The request body is not valid JSON: {0}")]
    NotJson(&'static str),
    /// A part of the request does not fit the endpoint's type.
    #[error(transparent)]
    Malformed(#[from] DeserializationError),
    /// The endpoint needs an access token.
    #[error("Missing access token")]
    MissingToken,
    /// The token is nobody's.
    #[error("Unrecognised access token")]
    UnknownToken,
    /// The token has expired; the client may keep its device.
    #[error("Access token has expired")]
    ExpiredToken,
    /// The account is locked.
    #[error("This account has been locked")]
    Locked,
    /// The account is suspended, and this is not one of the things that it may still do.
    #[error("This account has been suspended")]
    Suspended,
    /// Guests may not do this.
    #[error("Guests may not do this")]
    Guest,
    /// The account was deactivated.
    #[error("This account has been deactivated")]
    Deactivated,
    /// Only application services may call this endpoint.
    #[error("Only application services may use this endpoint")]
    NotAnAppservice,
    /// `user_id` names a user outside of the application service's namespaces.
    #[error("Application service cannot masquerade as this user")]
    MasqueradedUser,
    /// `device_id` names a device that the user does not have.
    #[error("Unknown device")]
    MasqueradedDevice,
    /// The endpoint needs the signature of another server.
    #[error(transparent)]
    Header(HeaderError),
    /// The operator has configured nothing to answer.
    #[error("Not configured")]
    NotConfigured,
    /// The request took longer than the server allows.
    #[error("The request took too long")]
    TimedOut,
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let (status, kind) = match &error {
            RequestError::UnknownPath => (StatusCode::NOT_FOUND, ErrorKind::Unrecognized),
            RequestError::UnknownMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Unrecognized)
            }
            RequestError::PathNotUtf8 { .. } => (StatusCode::BAD_REQUEST, ErrorKind::InvalidParam),
            RequestError::BodyTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge)
            }
            RequestError::BodyUnreadable | RequestError::NotJson(_) => {
                (StatusCode::BAD_REQUEST, ErrorKind::NotJson)
            }
            RequestError::Compressed => (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorKind::Unknown),
            RequestError::Malformed(error) => return malformed(error),
            RequestError::MissingToken => (StatusCode::UNAUTHORIZED, ErrorKind::MissingToken),
            RequestError::UnknownToken => return Self::unknown_token(false),
            RequestError::ExpiredToken => return Self::unknown_token(true),
            RequestError::Locked => return Self::locked(),
            RequestError::Guest => (StatusCode::FORBIDDEN, ErrorKind::GuestAccessForbidden),
            RequestError::Suspended => (StatusCode::FORBIDDEN, ErrorKind::UserSuspended),
            RequestError::Deactivated => (StatusCode::FORBIDDEN, ErrorKind::UserDeactivated),
            RequestError::NotAnAppservice | RequestError::MasqueradedUser => {
                (StatusCode::FORBIDDEN, ErrorKind::Forbidden)
            }
            RequestError::MasqueradedDevice => (StatusCode::BAD_REQUEST, ErrorKind::UnknownDevice),
            RequestError::Header(_) => (StatusCode::UNAUTHORIZED, ErrorKind::Unauthorized),
            RequestError::NotConfigured => (StatusCode::NOT_FOUND, ErrorKind::NotFound),
            RequestError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, ErrorKind::Unknown),
        };
        Self::new(status, kind, error.to_string())
    }
}

fn malformed(error: &DeserializationError) -> ApiError {
    let message = error.to_string();
    let kind = match error {
        DeserializationError::Json(error) if !error.is_data() => ErrorKind::NotJson,
        DeserializationError::Json(_) | DeserializationError::Query(_)
            if message.contains("missing field") =>
        {
            ErrorKind::MissingParam
        }
        DeserializationError::Json(_) => ErrorKind::BadJson,
        DeserializationError::Utf8(_) => ErrorKind::NotJson,
        // Path arguments, the query, headers and identifiers.
        _ => ErrorKind::InvalidParam,
    };
    ApiError::bad_request(kind, message)
}
