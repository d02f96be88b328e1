//! One keep-alive HTTP/1.1 connection to the server under test.
//!
//! A bare connection instead of a pooled client: the load generator shares the machine with the
//! server, so what it costs per request must stay small, and a worker is one connection.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One request, before it is bound to a connection and a token.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Bytes,
}

impl Call {
    /// `GET path`
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: Bytes::new(),
        }
    }

    /// `POST path` with a JSON body.
    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: body.to_string().into(),
        }
    }

    /// `PUT path` with a JSON body.
    pub(crate) fn put(path: impl Into<String>, body: &Value) -> Self {
        Self {
            method: Method::PUT,
            path: path.into(),
            body: body.to_string().into(),
        }
    }
}

/// Status and body of one answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Whether the answer says when to try again.
    pub(crate) has_retry_after: bool,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the answer's body is not JSON")
    }
}

/// A connection that sends every request with the same access token.
pub(crate) struct Wire {
    address: SocketAddr,
    token: Option<String>,
    /// Whether who uses the connection tries again while the server says 503.
    pub(crate) is_patient: bool,
    sender: SendRequest<Full<Bytes>>,
    /// Holds the task that moves the connection's bytes; it ends with this value.
    driver: JoinSet<()>,
}

impl Wire {
    /// Connects at once, so that no measurement includes it.
    pub(crate) async fn connect(address: SocketAddr, token: Option<String>) -> Result<Self> {
        let mut driver = JoinSet::new();
        let sender = handshake(address, &mut driver).await?;
        Ok(Self {
            address,
            token,
            is_patient: false,
            sender,
            driver,
        })
    }

    /// A second connection with the same token.
    pub(crate) async fn another(&self) -> Result<Self> {
        Self::connect(self.address, self.token.clone()).await
    }

    /// Uses `token` from the next request on.
    pub(crate) fn set_token(&mut self, token: impl Into<String>) {
        self.token = Some(token.into());
    }

    /// Sends the following requests without a token.
    pub(crate) fn clear_token(&mut self) {
        self.token = None;
    }

    /// Sends `call` and reads the whole answer, whatever its status. Connects anew where the
    /// server closed the idle connection.
    pub(crate) async fn send(&mut self, call: Call) -> Result<Reply> {
        if self.sender.ready().await.is_err() {
            self.driver.abort_all();
            self.sender = handshake(self.address, &mut self.driver).await?;
        }
        let mut request = Request::builder().method(call.method).uri(call.path);
        request = request.header(header::HOST, "localhost");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(call.body))
            .context("building a request")?;
        let answer = self
            .sender
            .send_request(request)
            .await
            .context("sending a request")?;
        let status = answer.status().as_u16();
        let has_retry_after = answer.headers().contains_key(header::RETRY_AFTER);
        let body = answer
            .into_body()
            .collect()
            .await
            .context("reading an answer")?
            .to_bytes();
        Ok(Reply {
            status,
            has_retry_after,
            body,
        })
    }

    /// Sends `call`; any status but 200 is an error that shows the call and the answer.
    pub(crate) async fn ok(&mut self, call: Call) -> Result<Bytes> {
        let shown = format!("{} {}", call.method, call.path);
        let reply = self.send(call).await.with_context(|| shown.clone())?;
        if reply.status != 200 {
            bail!(
                "{shown}: {} {}",
                reply.status,
                String::from_utf8_lossy(&reply.body)
            );
        }
        Ok(reply.body)
    }

    /// Like [`Wire::ok`], and the body as JSON.
    pub(crate) async fn json(&mut self, call: Call) -> Result<Value> {
        let body = self.ok(call).await?;
        serde_json::from_slice(&body).context("the answer's body is not JSON")
    }
}

async fn handshake(
    address: SocketAddr,
    driver: &mut JoinSet<()>,
) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address)
        .await
        .context("connecting to the server")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    driver.spawn(async move {
        // The request that the connection carried reports the error.
        let _ended = connection.await;
    });
    Ok(sender)
}

/// Percent-encodes `text` for one path segment or query value.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// The string member `name` of a JSON object.
pub(crate) fn text(value: &Value, name: &str) -> Result<String> {
    let found = value.get(name).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no string {name} in {value}"))?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_a_path_segment_may_not_hold() {
        assert_eq!(
            segment("!a-b:local host/ü"),
            "%21a-b%3Alocal%20host%2F%C3%BC"
        );
    }

    #[test]
    fn names_the_member_that_is_missing() {
        let value = serde_json::json!({ "room_id": 5 });
        let error = text(&value, "room_id").unwrap_err().to_string();
        assert!(error.contains("room_id"), "{error}");
        assert_eq!(
            text(&serde_json::json!({ "room_id": "!a" }), "room_id").unwrap(),
            "!a"
        );
    }
}
