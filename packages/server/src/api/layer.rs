//! What every request passes before its endpoint: its id, CORS, its line in the log, its metrics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use matryx_surrealdb::Meter;
use metrics::{counter, histogram};
use tracing::Instrument;

use super::record::RequestRecord;
use crate::{app::App, clock::Stopwatch};

/// The header that carries a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of requests that no endpoint matched, so that strangers can't grow the metrics.
const NO_ROUTE: &str = "unmatched";

/// Makes ids for requests: unlikely to repeat among processes, never within one.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids of the process that drew this random number.
    pub fn new(process: u32) -> Self {
        Self {
            process,
            next: AtomicU64::new(1),
        }
    }

    fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:x}", self.process)
    }
}

/// Serves a request and notes how it went.
pub(super) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let id = app.request_ids.next();
    let record = RequestRecord::default();
    request.extensions_mut().insert(record.clone());

    let meter = Arc::new(Meter::default());
    let mut response = if method == Method::OPTIONS {
        preflight()
    } else {
        let span = tracing::info_span!("request", %id);
        Arc::clone(&meter)
            .scope(next.run(request).instrument(span))
            .await
    };
    allow_any_origin(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }

    let took = watch.elapsed();
    let status = response.status().as_u16();
    tracing::info!(
        target: "matryx::access",
        %id,
        %method,
        route,
        user = record.user().map(tracing::field::display),
        origin = record.origin().map(tracing::field::display),
        status,
        ms = millis(took),
        db_calls = meter.calls(),
        db_ms = millis(meter.elapsed()),
        "request"
    );
    measure(&method, route, status, took);
    response
}

fn measure(method: &Method, route: &str, status: u16, took: Duration) {
    let labels = [
        ("method", method_name(method).to_owned()),
        ("route", route.to_owned()),
    ];
    histogram!("matryx_http_request_seconds", &labels).record(took);
    let [method, route] = labels;
    counter!(
        "matryx_http_requests_total",
        &[method, route, ("status", status.to_string())]
    )
    .increment(1);
}

/// The method's name, if it is one that endpoints have: anyone can make up others.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::POST | Method::PUT | Method::DELETE | Method::OPTIONS => {
            method.as_str()
        }
        Method::HEAD | Method::PATCH => method.as_str(),
        _ => "other",
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are precise enough, and short to read.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The answer to a CORS preflight: on every path, without a token, without any effect.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients)
fn preflight() -> Response {
    Body::empty().into_response()
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization, Date"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After, X-Request-Id"),
    );
}
