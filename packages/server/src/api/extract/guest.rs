//! What a guest may do.
//!
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#guest-access): a list of what is
//! allowed; everything else is refused, also what is added later.

use axum::extract::MatchedPath;
use http::{Method, request::Parts};

/// Methods and the ends of the paths, behind the version.
const ALLOWED: [(Method, &str); 23] = [
    (Method::GET, "account/whoami"),
    (Method::POST, "logout"),
    (Method::POST, "logout/all"),
    (Method::GET, "sync"),
    (Method::GET, "devices"),
    (Method::GET, "devices/{device_id}"),
    (Method::PUT, "devices/{device_id}"),
    (Method::PUT, "profile/{user_id}/{field}"),
    (Method::POST, "keys/upload"),
    (Method::POST, "keys/query"),
    (Method::POST, "keys/claim"),
    (Method::POST, "join/{room_id_or_alias}"),
    (Method::POST, "rooms/{room_id}/join"),
    (Method::POST, "rooms/{room_id}/leave"),
    (Method::GET, "rooms/{room_id}/context/{event_id}"),
    (Method::GET, "rooms/{room_id}/event/{event_id}"),
    (Method::GET, "rooms/{room_id}/members"),
    (Method::GET, "rooms/{room_id}/messages"),
    (Method::GET, "rooms/{room_id}/state"),
    (
        Method::GET,
        "rooms/{room_id}/state/{event_type}/{state_key}",
    ),
    (
        Method::PUT,
        "rooms/{room_id}/state/{event_type}/{state_key}",
    ),
    (Method::PUT, "rooms/{room_id}/send/{event_type}/{txn_id}"),
    (Method::PUT, "sendToDevice/{event_type}/{txn_id}"),
];

/// Is this request one that a guest may not make?
pub(super) fn forbids(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>();
    path.is_some_and(|path| forbids_at(&parts.method, path.as_str()))
}

fn forbids_at(method: &Method, path: &str) -> bool {
    let end = path
        .strip_prefix("/_matrix/client/")
        .and_then(|path| path.split_once('/'))
        .map(|(_, end)| end.trim_end_matches('/'));
    !ALLOWED
        .iter()
        .any(|(allowed, allowed_end)| allowed == method && end == Some(allowed_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_what_is_listed_and_nothing_else() {
        for (method, path) in [
            (Method::GET, "/_matrix/client/v3/sync"),
            (Method::GET, "/_matrix/client/r0/rooms/{room_id}/state/"),
            (Method::POST, "/_matrix/client/v3/join/{room_id_or_alias}"),
        ] {
            assert!(!forbids_at(&method, path), "{path}");
        }
        for (method, path) in [
            (Method::POST, "/_matrix/client/v3/createRoom"),
            (Method::POST, "/_matrix/client/v3/rooms/{room_id}/invite"),
            (Method::POST, "/_matrix/client/v3/account/password"),
            (Method::DELETE, "/_matrix/client/v3/devices/{device_id}"),
            (Method::GET, "/_synapse/admin/v1/sync"),
        ] {
            assert!(forbids_at(&method, path), "{path}");
        }
    }
}
