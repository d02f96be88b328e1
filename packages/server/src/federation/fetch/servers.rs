//! Whom to ask.

use matryx_entity::room_snapshot::RoomSnapshot;
use ruma::{OwnedServerName, ServerName, UserId, events::StateEventType};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::room::servers_in;

/// How many servers are asked for the same thing.
const MAX_SERVERS: usize = 5;

#[derive(Deserialize)]
struct PowerLevels {
    #[serde(default)]
    users: BTreeMap<String, serde_json::Value>,
}

/// Servers that may know what we don't: first those that are named, then those of the users who
/// run the room, then any other that is in it.
pub(super) fn to_ask(
    room: &RoomSnapshot,
    first: impl IntoIterator<Item = OwnedServerName>,
    own: &ServerName,
) -> Vec<OwnedServerName> {
    let present = servers_in(room);
    let power = room
        .get(&StateEventType::RoomPowerLevels, "")
        .and_then(|event| event.pdu.content_as::<PowerLevels>());
    let powerful = power
        .into_iter()
        .flat_map(|levels| levels.users.into_keys())
        .filter_map(|user| Some(UserId::parse(user).ok()?.server_name().to_owned()))
        .filter(|server| present.contains(server.as_str()));
    let others = present.iter();
    let others = others.filter_map(|server| ServerName::parse(server).ok());
    let mut servers: Vec<OwnedServerName> = Vec::new();
    for server in first.into_iter().chain(powerful).chain(others) {
        if servers.len() == MAX_SERVERS {
            break;
        }
        if server != own && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}
