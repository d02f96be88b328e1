//! The power levels that a new room starts with.

use matryx_entity::room_versions;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedUserId, RoomVersionId, UserId,
    api::client::room::create_room::v3::RoomPreset,
};

use super::RoomError;

/// The power that it takes to send an event that shapes a room, beyond `state_default`.
/// Synapse's defaults, which clients grew up with.
const EVENTS: [(&str, i32); 8] = [
    ("m.room.avatar", 50),
    ("m.room.canonical_alias", 50),
    ("m.room.encryption", 100),
    ("m.room.history_visibility", 100),
    ("m.room.name", 50),
    ("m.room.power_levels", 100),
    ("m.room.server_acl", 100),
    ("m.room.tombstone", 100),
];

/// Only creators may close a room of version 12 and later.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#creation)
const TOMBSTONE_WITH_CREATORS: i32 = 150;

/// The content of the first `m.room.power_levels` event.
pub(super) fn initial(
    version: &RoomVersionId,
    creator: &UserId,
    invited: &[OwnedUserId],
    preset: &RoomPreset,
    overrides: CanonicalJsonObject,
) -> Result<CanonicalJsonObject, RoomError> {
    let creators_are_privileged = room_versions::rules(version)?
        .authorization
        .explicitly_privilege_room_creators;
    let mut users = CanonicalJsonObject::new();
    if !creators_are_privileged {
        users.insert(creator.to_string(), level(100));
        if *preset == RoomPreset::TrustedPrivateChat {
            users.extend(invited.iter().map(|user| (user.to_string(), level(100))));
        }
    }
    let mut events: CanonicalJsonObject = EVENTS
        .iter()
        .map(|(kind, power)| ((*kind).to_owned(), level(*power)))
        .collect();
    if creators_are_privileged {
        events.insert(
            "m.room.tombstone".to_owned(),
            level(TOMBSTONE_WITH_CREATORS),
        );
    }
    let invite = if *preset == RoomPreset::PublicChat {
        50
    } else {
        0
    };
    let mut content: CanonicalJsonObject = [
        ("ban", 50),
        ("events_default", 0),
        ("invite", invite),
        ("kick", 50),
        ("redact", 50),
        ("state_default", 50),
        ("users_default", 0),
    ]
    .into_iter()
    .map(|(field, power)| (field.to_owned(), level(power)))
    .collect();
    content.insert("events".to_owned(), CanonicalJsonValue::Object(events));
    content.insert("users".to_owned(), CanonicalJsonValue::Object(users));
    content.extend(overrides);
    Ok(content)
}

fn level(power: i32) -> CanonicalJsonValue {
    CanonicalJsonValue::Integer(Int::from(power))
}
