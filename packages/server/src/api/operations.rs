//! For those who run the server: health and metrics.

pub mod live;
pub mod metrics;
pub mod ready;

use http::{HeaderName, header};

/// A body with its `Content-Type`.
type Text<T> = ([(HeaderName, &'static str); 1], T);

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
