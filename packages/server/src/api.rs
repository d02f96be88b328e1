//! The HTTP edge: the only place that knows HTTP.
//!
//! A request passes the outer layers, which log, time and bound it, then its endpoint's extractor,
//! which proves the caller and parses the request, and arrives at a handler as a typed
//! [`extract::Call`].

pub mod client;
pub mod error;
pub mod extract;
pub mod record;
pub mod routes;

use axum::{Router, response::IntoResponse};

use self::{
    error::{ApiError, request::RequestError},
    routes::Routes,
};
use crate::app::App;

/// Every endpoint.
pub fn endpoints() -> Routes {
    client::routes(Routes::default())
}

/// The router of everything that the server serves.
pub fn router(app: App) -> Router {
    endpoints()
        .into_router()
        .fallback(async || ApiError::from(RequestError::UnknownPath).into_response())
        .method_not_allowed_fallback(async || {
            ApiError::from(RequestError::UnknownMethod).into_response()
        })
        .with_state(app)
}
