//! Requests and their answers.

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// A request that is being put together.
pub(crate) struct Outgoing {
    router: Router,
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Body,
}

impl Outgoing {
    pub(super) fn new(router: Router, method: Method, uri: &str) -> Self {
        Self {
            router,
            method,
            uri: uri.to_owned(),
            headers: HeaderMap::new(),
            body: Body::empty(),
        }
    }

    /// A GET request to any router.
    pub(crate) fn get(router: Router, uri: &str) -> Self {
        Self::new(router, Method::GET, uri)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .append(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    /// Sends an access token in the header.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.uri
            .push(if self.uri.contains('?') { '&' } else { '?' });
        self.uri.push_str(name);
        self.uri.push('=');
        self.uri.push_str(&super::encode(value));
        self
    }

    /// Sends a JSON body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string())
    }

    /// Sends any body, as JSON.
    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        self.body = Body::from(body.into());
        self
    }

    /// Sends the request and reads the answer.
    pub(crate) async fn send(self) -> Answer {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.uri)
            .body(self.body)
            .unwrap();
        *request.headers_mut() = self.headers;
        let response = self.router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            what: format!("{} {}", self.method, self.uri),
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }
}

/// An answer.
pub(crate) struct Answer {
    what: String,
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) bytes: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{}: no JSON ({error}): {:?}", self.what, self.bytes))
    }

    /// The body of a request that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}: {:?}", self.what, self.bytes);
        self.json()
    }

    /// The body of a request that must have failed in this way.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, errcode: &str) -> Value {
        assert_eq!(self.status, status, "{}: {:?}", self.what, self.bytes);
        let body = self.json();
        assert_eq!(body["errcode"], errcode, "{}: {body}", self.what);
        assert!(body["error"].is_string(), "{}: {body}", self.what);
        body
    }
}
