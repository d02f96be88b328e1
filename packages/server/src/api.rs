//! The HTTP edge: the only place that knows HTTP.
//!
//! A request passes the outer layer, which logs and counts it, then its endpoint's extractor,
//! which proves the caller and parses the request, and arrives at a handler as a typed
//! [`extract::Call`].

#![expect(
    clippy::missing_errors_doc,
    reason = "the errors of a handler are those of the domain function that it calls"
)]

pub mod client;
#[cfg(test)]
mod endpoints;
pub mod error;
pub mod extract;
pub mod federation;
mod json;
pub mod key;
pub mod layer;
pub mod operations;
mod record;
pub mod routes;
pub mod well_known;

use axum::{Router, middleware, response::IntoResponse, routing::get};

use self::{
    error::{ApiError, request::RequestError},
    routes::Routes,
};
use crate::{app::App, config::Service};

/// Every endpoint of the Matrix specification that is served for one kind of caller.
pub fn endpoints(service: Service) -> Routes {
    let routes = Routes::default();
    match service {
        Service::Client => well_known::routes(client::routes(routes)),
        Service::Federation => key::routes(federation::routes(routes)),
        Service::Media | Service::Admin | Service::Metrics => routes,
    }
}

/// The router of a listener that serves these.
pub fn router(app: App, services: &[Service]) -> Router {
    let mut router = Router::new()
        .route("/_matryx/health/live", get(operations::live::live))
        .route("/_matryx/health/ready", get(operations::ready::ready));
    for service in services {
        router = router.merge(endpoints(*service).into_router());
        if *service == Service::Metrics {
            router = router.route("/metrics", get(operations::metrics::metrics));
        }
    }
    router
        .fallback(async || ApiError::from(RequestError::UnknownPath).into_response())
        .method_not_allowed_fallback(async || {
            ApiError::from(RequestError::UnknownMethod).into_response()
        })
        .layer(middleware::from_fn_with_state(app.clone(), layer::observe))
        .with_state(app)
}
