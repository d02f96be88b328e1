//! Somebody who is logged in.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use http::Method;
use serde_json::{Value, json};

use super::{Outgoing, encode};

/// A user's session on one device.
pub(crate) struct TestUser {
    /// The user id.
    pub(crate) id: String,
    /// The access token.
    pub(crate) token: String,
    /// The device.
    pub(crate) device_id: String,
    router: Router,
    transactions: AtomicU32,
}

impl TestUser {
    /// Everybody's password.
    pub(crate) const PASSWORD: &str = "correct horse battery staple";

    /// The session that a register or login answer opened.
    pub(crate) fn new(router: Router, session: &Value) -> Self {
        let text = |key: &str| session[key].as_str().unwrap().to_owned();
        Self {
            id: text("user_id"),
            token: text("access_token"),
            device_id: text("device_id"),
            router,
            transactions: AtomicU32::new(0),
        }
    }

    /// A request with the user's token.
    pub(crate) fn request(&self, method: Method, path: &str) -> Outgoing {
        Outgoing::new(self.router.clone(), method, path).token(&self.token)
    }

    /// A GET request with the user's token.
    pub(crate) fn get(&self, path: &str) -> Outgoing {
        self.request(Method::GET, path)
    }

    /// A POST request with the user's token.
    pub(crate) fn post(&self, path: &str) -> Outgoing {
        self.request(Method::POST, path)
    }

    /// A PUT request with the user's token.
    pub(crate) fn put(&self, path: &str) -> Outgoing {
        self.request(Method::PUT, path)
    }

    /// A DELETE request with the user's token.
    pub(crate) fn delete(&self, path: &str) -> Outgoing {
        self.request(Method::DELETE, path)
    }

    /// Creates a room and returns its id.
    pub(crate) async fn create_room(&self, body: Value) -> String {
        let answer = self
            .post("/_matrix/client/v3/createRoom")
            .json(&body)
            .send()
            .await;
        answer.ok()["room_id"].as_str().unwrap().to_owned()
    }

    /// Sends an event and returns its id.
    pub(crate) async fn send_event(&self, room: &str, kind: &str, content: Value) -> String {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        let (room, kind) = (encode(room), encode(kind));
        let path = format!("/_matrix/client/v3/rooms/{room}/send/{kind}/txn{number}");
        let answer = self.put(&path).json(&content).send().await;
        answer.ok()["event_id"].as_str().unwrap().to_owned()
    }

    /// Sends a text message and returns its event id.
    pub(crate) async fn say(&self, room: &str, text: &str) -> String {
        let content = json!({ "msgtype": "m.text", "body": text });
        self.send_event(room, "m.room.message", content).await
    }

    /// Joins a room by id or alias.
    pub(crate) async fn join(&self, room: &str) {
        let path = format!("/_matrix/client/v3/join/{}", encode(room));
        self.post(&path).json(&json!({})).send().await.ok();
    }

    /// Invites somebody.
    pub(crate) async fn invite(&self, room: &str, user_id: &str) {
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(room));
        let body = json!({ "user_id": user_id });
        self.post(&path).json(&body).send().await.ok();
    }

    /// Syncs without waiting; from the start without a token.
    pub(crate) async fn sync(&self, since: Option<&str>) -> Value {
        let request = self.get("/_matrix/client/v3/sync").query("timeout", "0");
        let request = match since {
            Some(since) => request.query("since", since),
            None => request,
        };
        request.send().await.ok()
    }
}
