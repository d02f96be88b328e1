//! What a suspended account may no longer do.
//!
//! It may read, leave, redact, log out and look after its account; it may not say anything to
//! others. [Spec](https://spec.matrix.org/v1.19/client-server-api/#account-suspension)

use axum::extract::MatchedPath;
use http::{Method, request::Parts};

/// Segments of the paths by which one says something.
const SPEAKING: [&str; 13] = [
    "createRoom",
    "join",
    "knock",
    "invite",
    "kick",
    "ban",
    "unban",
    "send",
    "state",
    "upgrade",
    "profile",
    "directory",
    "media",
];

/// Is this request one that a suspended account may not make?
pub(super) fn forbids(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>();
    path.is_some_and(|path| forbids_at(&parts.method, path.as_str()))
}

fn forbids_at(method: &Method, path: &str) -> bool {
    method != Method::GET
        && method != Method::HEAD
        && path.split('/').any(|segment| SPEAKING.contains(&segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbids_to_speak_and_nothing_else() {
        for (method, path) in [
            (
                Method::PUT,
                "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}",
            ),
            (
                Method::PUT,
                "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
            ),
            (Method::POST, "/_matrix/client/v3/join/{room_id_or_alias}"),
            (Method::POST, "/_matrix/client/v3/createRoom"),
            (Method::PUT, "/_matrix/client/v3/profile/{user_id}/{field}"),
            (Method::POST, "/_matrix/media/v3/upload"),
        ] {
            assert!(forbids_at(&method, path), "{path}");
        }
        for (method, path) in [
            (Method::GET, "/_matrix/client/v3/rooms/{room_id}/state"),
            (Method::POST, "/_matrix/client/v3/rooms/{room_id}/leave"),
            (
                Method::PUT,
                "/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}",
            ),
            (
                Method::PUT,
                "/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}",
            ),
            (Method::POST, "/_matrix/client/v3/logout"),
            (Method::POST, "/_matrix/client/v3/account/deactivate"),
        ] {
            assert!(!forbids_at(&method, path), "{path}");
        }
    }
}
