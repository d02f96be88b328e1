//! The room versions that this server takes part in.
//!
//! Versions 6 to 12: canonical JSON is enforced from 6 on, and Ruma's state resolution and
//! authorization rules are complete from there. In versions 1 to 5 events exist that other servers
//! accept and that canonical JSON can't represent; half a room version is a split room.

use std::collections::BTreeMap;

use ruma::{
    RoomVersionId,
    api::client::discovery::get_capabilities::v3::{RoomVersionStability, RoomVersionsCapability},
    room_version_rules::RoomVersionRules,
};

/// The room version is not one of [`SUPPORTED`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("room version {0} is not supported")]
pub struct UnsupportedRoomVersion(pub RoomVersionId);

/// Every supported version, oldest first.
pub const SUPPORTED: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

static V6: RoomVersionRules = RoomVersionRules::V6;
static V7: RoomVersionRules = RoomVersionRules::V7;
static V8: RoomVersionRules = RoomVersionRules::V8;
static V9: RoomVersionRules = RoomVersionRules::V9;
static V10: RoomVersionRules = RoomVersionRules::V10;
static V11: RoomVersionRules = RoomVersionRules::V11;
static V12: RoomVersionRules = RoomVersionRules::V12;

/// The rules of a supported room version.
///
/// # Errors
/// The version is not supported: `M_UNSUPPORTED_ROOM_VERSION` or
/// `M_INCOMPATIBLE_ROOM_VERSION`, by endpoint.
pub fn rules(version: &RoomVersionId) -> Result<&'static RoomVersionRules, UnsupportedRoomVersion> {
    Ok(match version {
        RoomVersionId::V6 => &V6,
        RoomVersionId::V7 => &V7,
        RoomVersionId::V8 => &V8,
        RoomVersionId::V9 => &V9,
        RoomVersionId::V10 => &V10,
        RoomVersionId::V11 => &V11,
        RoomVersionId::V12 => &V12,
        other => return Err(UnsupportedRoomVersion(other.clone())),
    })
}

/// Is the version one that this server takes part in?
pub fn is_supported(version: &RoomVersionId) -> bool {
    SUPPORTED.contains(version)
}

/// The `m.room_versions` capability: every supported version is stable.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#mroom_versions-capability)
pub fn capability(default: RoomVersionId) -> RoomVersionsCapability {
    let available: BTreeMap<_, _> = SUPPORTED
        .into_iter()
        .map(|version| (version, RoomVersionStability::Stable))
        .collect();
    RoomVersionsCapability::new(default, available)
}
