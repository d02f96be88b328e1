//! Server access control: which servers a room keeps out.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms)

use matryx_entity::room_snapshot::RoomSnapshot;
use quick_cache::sync::Cache;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, ServerName,
    events::{StateEventType, room::server_acl::RoomServerAclEventContent},
};
use serde_json::Value;
use thiserror::Error;

/// The most verdicts that are remembered.
const MAX_VERDICTS: usize = 16_384;

/// A room keeps a server out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{server} is not allowed in {room_id}")]
pub struct AclDenied {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The server.
    pub server: OwnedServerName,
}

/// Verdicts of rooms on servers; those already given are remembered, because a list may have more
/// than a thousand patterns and is asked for every event.
pub struct ServerAcls {
    verdicts: Cache<(OwnedEventId, OwnedServerName), bool>,
}

impl Default for ServerAcls {
    fn default() -> Self {
        Self {
            verdicts: Cache::new(MAX_VERDICTS),
        }
    }
}

impl ServerAcls {
    /// Fails when the room, as it is now, keeps this server out.
    ///
    /// # Errors
    /// [`AclDenied`]
    pub fn check(&self, room: &RoomSnapshot, server: &ServerName) -> Result<(), AclDenied> {
        if self.allows(room, server) {
            return Ok(());
        }
        Err(AclDenied {
            room_id: room.room_id.clone(),
            server: server.to_owned(),
        })
    }

    /// May this server take part in the room?
    pub fn allows(&self, room: &RoomSnapshot, server: &ServerName) -> bool {
        let Some(event) = room.get(&StateEventType::RoomServerAcl, "") else {
            return true;
        };
        let key = (event.pdu.event_id().to_owned(), server.to_owned());
        if let Some(verdict) = self.verdicts.get(&key) {
            return verdict;
        }
        let content = event.pdu.content_as().unwrap_or_default();
        let verdict = read(&content).is_allowed(server);
        self.verdicts.insert(key, verdict);
        verdict
    }
}

/// Reads a list; what has the wrong type counts as absent, as the auth rules let anything through.
fn read(content: &Value) -> RoomServerAclEventContent {
    let patterns = |name: &str| {
        let patterns = content.get(name).and_then(Value::as_array);
        let patterns = patterns.into_iter().flatten();
        patterns
            .filter_map(|pattern| Some(pattern.as_str()?.to_owned()))
            .collect()
    };
    let allow_ip_literals = content.get("allow_ip_literals").and_then(Value::as_bool);
    let allow_ip_literals = allow_ip_literals.unwrap_or(true);
    RoomServerAclEventContent::new(allow_ip_literals, patterns("allow"), patterns("deny"))
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_a_list_with_what_does_not_belong_there() {
        let content = json!({
            "allow": ["*", 1, null],
            "deny": ["*.evil.test", "BAD.test"],
            "allow_ip_literals": "no",
        });
        let list = read(&content);
        assert!(list.is_allowed(server_name!("good.test")));
        assert!(list.is_allowed(server_name!("192.0.2.1:1")));
        assert!(!list.is_allowed(server_name!("a.evil.test:8448")));
        assert!(!list.is_allowed(server_name!("bad.test")));
        for nobody in [json!({}), json!({ "allow": "*" }), json!([])] {
            assert!(
                !read(&nobody).is_allowed(server_name!("good.test")),
                "{nobody}"
            );
        }
    }

    #[test]
    fn may_keep_addresses_out() {
        let list = read(&json!({ "allow": ["*"], "allow_ip_literals": false }));
        assert!(!list.is_allowed(server_name!("192.0.2.1")));
        assert!(!list.is_allowed(server_name!("[2001:db8::1]:8448")));
        assert!(list.is_allowed(server_name!("good.test")));
    }
}
