//! `GET /metrics`
//!
//! Every metric of the process in the text format of Prometheus.

use axum::extract::State;
use http::{HeaderName, header};

use super::Text;
use crate::{app::App, telemetry::Telemetry};

const PROMETHEUS: [(HeaderName, &str); 1] = [(
    header::CONTENT_TYPE,
    "text/plain; version=0.0.4; charset=utf-8",
)];

/// Writes out the metrics.
pub async fn metrics(State(app): State<App>) -> Text<String> {
    app.sync.record_metrics();
    app.federation.record_metrics();
    app.sender.record_metrics();
    app.key_ring.record_metrics();
    let text = app.metrics.as_ref().map(Telemetry::render);
    (PROMETHEUS, text.unwrap_or_default())
}
