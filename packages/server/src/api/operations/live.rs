//! `GET /_matryx/health/live`
//!
//! Answers as long as the process can answer at all.

use super::{JSON, Text};

/// Says that the process lives.
pub async fn live() -> Text<&'static str> {
    (JSON, r#"{"status":"live"}"#)
}
