//! Random secrets: tokens, ids of sessions, generated names.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{Rng, distr::slice::Choose};
use ruma::OwnedDeviceId;

/// How many characters a generated device id has, as Synapse.
const DEVICE_ID_CHARS: usize = 10;
/// How many characters a generated user name has: 62 bits.
const USER_NAME_CHARS: usize = 12;

/// 256 random bits as text, behind a prefix that tells an operator what leaked.
pub(super) fn token(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::rng().random();
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A new device id.
pub(super) fn device_id() -> OwnedDeviceId {
    pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", DEVICE_ID_CHARS).into()
}

/// A new user name.
pub(super) fn user_name() -> String {
    pick(b"abcdefghijklmnopqrstuvwxyz0123456789", USER_NAME_CHARS)
}

fn pick(alphabet: &'static [u8], count: usize) -> String {
    // The alphabets are not empty.
    let Ok(letters) = Choose::new(alphabet) else {
        return String::new();
    };
    rand::rng()
        .sample_iter(letters)
        .take(count)
        .map(|byte| char::from(*byte))
        .collect()
}
