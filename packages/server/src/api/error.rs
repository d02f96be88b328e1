//! What a request that fails is told: a status and a Matrix error.
//!
//! The only place that turns reasons into statuses and error codes. An [`ApiError`] is made by a
//! `From` of one domain's error, in this folder, with every variant named. A failure of our own is
//! logged here, once, with its causes, and the client learns nothing of it.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response)

mod e2ee;
mod identity;
mod key;
mod key_backup;
mod presence;
mod rate_limit;
pub(in crate::api) mod request;
mod room;
mod store;
mod to_device;
mod transaction;
mod user;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ruma::api::error::{
    ErrorKind, LimitExceededErrorData, RetryAfter, StandardErrorBody, UnknownTokenErrorData,
};
use serde::Serialize;

/// How long a client should wait when the database is away.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

/// How long it should wait for what there is no room for now.
const BUSY_RETRY: Duration = Duration::from_mins(1);

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

/// A failed request's answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Box<Body>,
    retry_after: Option<Duration>,
}

#[derive(Debug)]
enum Body {
    Standard(StandardErrorBody),
    Json(serde_json::Value),
}

impl ApiError {
    /// A status, a kind (which is the error code and what goes with it) and a sentence.
    pub(in crate::api) fn new(
        status: StatusCode,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            body: Box::new(Body::Standard(StandardErrorBody::new(kind, message.into()))),
            retry_after: None,
        }
    }

    /// An answer whose body is more than an error code, such as the flows of interactive
    /// authentication.
    pub(in crate::api) fn with_body(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_value(body) {
            Ok(body) => Self {
                status,
                body: Box::new(Body::Json(body)),
                retry_after: None,
            },
            Err(error) => Self::internal(&error),
        }
    }

    /// 403 `M_FORBIDDEN`.
    pub(in crate::api) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
    }

    /// 404 `M_NOT_FOUND`.
    pub(in crate::api) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message)
    }

    /// 400 `M_INVALID_PARAM`.
    pub(in crate::api) fn invalid_param(message: impl Into<String>) -> Self {
        Self::bad_request(ErrorKind::InvalidParam, message)
    }

    /// 400 with any error code.
    pub(in crate::api) fn bad_request(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, message)
    }

    /// 400 `M_INVALID_SIGNATURE`, which the protocol library has no kind for.
    pub(in crate::api) fn invalid_signature(message: &str) -> Self {
        let body = serde_json::json!({ "errcode": "M_INVALID_SIGNATURE", "error": message });
        Self::with_body(StatusCode::BAD_REQUEST, &body)
    }

    /// 413 `M_TOO_LARGE`.
    pub(in crate::api) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message)
    }

    /// 401 `M_UNKNOWN_TOKEN`.
    pub(in crate::api) fn unknown_token(soft_logout: bool) -> Self {
        let mut data = UnknownTokenErrorData::new();
        data.soft_logout = soft_logout;
        let message = if soft_logout {
            "Access token has expired"
        } else {
            "Unrecognised access token"
        };
        Self::new(
            StatusCode::UNAUTHORIZED,
            ErrorKind::UnknownToken(data),
            message,
        )
    }

    /// 401 `M_USER_LOCKED`: the client keeps its session until the account is unlocked.
    pub(in crate::api) fn locked() -> Self {
        let body = serde_json::json!({
            "errcode": "M_USER_LOCKED",
            "error": "This account has been locked",
            "soft_logout": true,
        });
        Self::with_body(StatusCode::UNAUTHORIZED, &body)
    }

    /// 429 `M_LIMIT_EXCEEDED`, with the wait in the body and in `Retry-After`.
    pub(in crate::api) fn limited(retry_after: Duration) -> Self {
        let mut data = LimitExceededErrorData::new();
        data.retry_after = Some(RetryAfter::Delay(retry_after));
        Self {
            retry_after: Some(retry_after),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::LimitExceeded(data),
                "Too many requests",
            )
        }
    }

    /// 503 with `Retry-After`: something that we depend on is away for the moment.
    pub(in crate::api) fn unavailable(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(cause), "temporarily unavailable");
        Self {
            retry_after: Some(UNAVAILABLE_RETRY),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorKind::Unknown,
                "The server is temporarily unavailable",
            )
        }
    }

    /// 503 `M_UNKNOWN` for what there is no room for now.
    pub(in crate::api) fn busy(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(BUSY_RETRY),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, message)
        }
    }

    /// 500 `M_UNKNOWN`: our own failure, logged with its causes.
    pub(in crate::api) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(cause), "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Unknown,
            "Internal server error",
        )
    }

    /// 500 `M_UNKNOWN` after a panic, which the panic hook has logged.
    pub(in crate::api) fn panicked() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Unknown,
            "Internal server error",
        )
    }
}

/// An error and all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = match &*self.body {
            Body::Standard(body) => serde_json::to_vec(body),
            Body::Json(body) => serde_json::to_vec(body),
        }
        .unwrap_or_else(|_| br#"{"errcode":"M_UNKNOWN","error":""}"#.to_vec());
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up, so that who waits that long is not refused again.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
