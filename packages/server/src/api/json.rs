//! Answers of endpoints that the protocol library does not know.

use bytes::BufMut;
use http::HeaderValue;
use ruma::api::{OutgoingBody, OutgoingResponse, error::IntoHttpError};
use serde::Serialize;

/// A JSON answer.
pub struct Json<T>(pub T);

impl<T: Serialize> OutgoingBody for Json<T> {
    type Error = serde_json::Error;

    fn content_type(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("application/json"))
    }

    fn try_into_buf<B: Default + BufMut + AsRef<[u8]>>(self) -> Result<B, serde_json::Error> {
        let mut buffer = B::default().writer();
        serde_json::to_writer(&mut buffer, &self.0)?;
        Ok(buffer.into_inner())
    }
}

impl<T: Serialize> OutgoingResponse for Json<T> {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::new(self))
    }
}
