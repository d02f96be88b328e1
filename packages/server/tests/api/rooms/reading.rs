//! What the tests of reading a room share.

use serde_json::Value;

use crate::support::{TestUser, encode};

/// The path of an endpoint of a room.
pub(crate) fn room_path(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encode(room))
}

/// Sends so many messages, and returns their ids, the oldest first.
pub(crate) async fn say_many(user: &TestUser, room: &str, count: usize) -> Vec<String> {
    let mut sent = Vec::with_capacity(count);
    for nth in 0..count {
        sent.push(user.say(room, &nth.to_string()).await);
    }
    sent
}

/// The ids of a list of events.
pub(crate) fn event_ids(events: &Value) -> Vec<String> {
    let events = events.as_array().unwrap();
    let ids = events
        .iter()
        .map(|event| event["event_id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

/// The texts of the messages in a list of events.
pub(crate) fn bodies(events: &Value) -> Vec<String> {
    let events = events.as_array().unwrap();
    let bodies = events
        .iter()
        .filter_map(|event| event["content"]["body"].as_str());
    bodies.map(str::to_owned).collect()
}
