//! A server in this process, and people who use it.
//!
//! ```ignore
//! let server = TestServer::start().await;
//! let alice = server.register("alice").await;
//! let room = alice.create_room(json!({})).await;
//! alice.get(&format!("/_matrix/client/v3/rooms/{room}/state")).send().await.ok();
//! server.get("/_matrix/client/v3/sync").send().await.error(401, "M_MISSING_TOKEN");
//! ```

use std::fmt::Write;

mod clock;
mod keys;
mod process;
mod request;
mod server;
mod user;

pub(crate) use self::{
    clock::TestClock,
    keys::{CrossSigning, DeviceIdentity, SigningKey},
    process::{Launch, Site},
    request::{Answer, Outgoing},
    server::{ServerBuilder, TestServer},
    user::TestUser,
};

/// Percent-encodes one segment of a path.
pub(crate) fn encode(segment: impl AsRef<str>) -> String {
    let mut encoded = String::new();
    for byte in segment.as_ref().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}
