//! Backups of room keys, by URL.

mod keys;
mod version;

use serde_json::{Value, json};

use crate::support::{TestUser, encode};

const VERSION: &str = "/_matrix/client/v3/room_keys/version";
const KEYS: &str = "/_matrix/client/v3/room_keys/keys";
const ALGORITHM: &str = "m.megolm_backup.v1.curve25519-aes-sha2";

/// What a client makes a version of.
fn method(public_key: &str) -> Value {
    json!({
        "algorithm": ALGORITHM,
        "auth_data": { "public_key": public_key, "signatures": {} },
    })
}

/// Makes a version and returns its number.
async fn create(user: &TestUser) -> String {
    let answer = user.post(VERSION).json(&method("abc")).send().await.ok();
    answer["version"].as_str().unwrap().to_owned()
}

/// A version's path.
fn version_path(version: &str) -> String {
    format!("{VERSION}/{version}")
}

/// The path of keys in a version: of all, a room's, or a session's.
fn keys_path(version: &str, segments: &[&str]) -> String {
    let mut path = KEYS.to_owned();
    for segment in segments {
        path.push('/');
        path.push_str(&encode(segment));
    }
    format!("{path}?version={version}")
}

/// The key of a session.
fn backed_up(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> Value {
    json!({
        "first_message_index": first_message_index,
        "forwarded_count": forwarded_count,
        "is_verified": is_verified,
        "session_data": {
            "ephemeral": "ZXBoZW1lcmFs",
            "ciphertext": format!("{is_verified} {first_message_index} {forwarded_count}"),
            "mac": "bWFj",
        },
    })
}
