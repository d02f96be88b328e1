//! Power levels of a room as the auth rules see them.
//!
//! Read through the same lazy types as the auth rules, so that an odd value can't mean one thing
//! here and another there.

use std::collections::HashSet;

use ruma::{
    Int, OwnedUserId, RoomVersionId, ServerName, UserId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::AuthorizationRules,
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent},
};

use serde_json::Value;

use crate::{pdu::Pdu, room_snapshot::RoomSnapshot, room_versions};

/// What a level of its own guards.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// Inviting.
    Invite,
    /// Kicking.
    Kick,
    /// Banning.
    Ban,
    /// Redacting the events of others.
    Redact,
}

impl Guarded {
    fn field(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Kick => "kick",
            Self::Ban => "ban",
            Self::Redact => "redact",
        }
    }

    fn default_level(self) -> Int {
        match self {
            Self::Invite => Int::from(0),
            Self::Kick | Self::Ban | Self::Redact => Int::from(50),
        }
    }
}

/// What the creator has in a room without power levels, before room version 12.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)
const CREATOR_WITHOUT_POWER_LEVELS: i32 = 100;
/// The default of `state_default` where there are no power levels at all.
const STATE_WITHOUT_POWER_LEVELS: i32 = 50;
/// The default of `notifications.room`.
const ROOM_NOTIFICATION: i32 = 50;

/// The power levels of one room at one moment.
#[derive(Debug)]
pub struct Power<'a> {
    event: Option<RoomPowerLevelsEvent<&'a Pdu>>,
    creators: HashSet<OwnedUserId>,
    rules: &'static AuthorizationRules,
}

impl<'a> Power<'a> {
    /// The power levels of a room now; `None` when its version or create event is unusable, in
    /// which case nobody may do anything.
    pub fn of(room: &'a RoomSnapshot) -> Option<Self> {
        let rules = &room_versions::rules(&room.version).ok()?.authorization;
        let create = room.get(&StateEventType::RoomCreate, "")?;
        let creators = RoomCreateEvent::new(&create.pdu).creators(rules).ok()?;
        Some(Self {
            event: room
                .get(&StateEventType::RoomPowerLevels, "")
                .map(|event| RoomPowerLevelsEvent::new(&*event.pdu)),
            creators,
            rules,
        })
    }

    /// The creators of the room (in version 12 with infinite power).
    pub fn creators(&self) -> &HashSet<OwnedUserId> {
        &self.creators
    }

    /// A user's power level; `None` when the power levels event is malformed.
    pub fn user(&self, user: &UserId) -> Option<UserPowerLevel> {
        let creator = self.creators.contains(user);
        if creator && self.rules.explicitly_privilege_room_creators {
            return Some(UserPowerLevel::Infinite);
        }
        let level = match &self.event {
            Some(event) => event.user_power_level(user, self.rules).ok()?,
            None if creator => Int::from(CREATOR_WITHOUT_POWER_LEVELS),
            None => Int::from(0),
        };
        Some(UserPowerLevel::Int(level))
    }

    /// The level that an action needs; `None` when the power levels event is malformed.
    pub fn level(&self, guarded: Guarded) -> Option<Int> {
        let Some(event) = &self.event else {
            return Some(guarded.default_level());
        };
        let content: serde_json::Map<String, Value> =
            serde_json::from_str(event.content().get()).ok()?;
        match content.get(guarded.field()) {
            None => Some(guarded.default_level()),
            Some(Value::Number(number)) => number.as_i64().and_then(Int::new),
            // Before room version 10 a level may be a string that holds an integer.
            Some(Value::String(text)) if !self.rules.integer_power_levels => {
                text.trim().parse().ok().and_then(Int::new)
            }
            Some(_) => None,
        }
    }

    /// May a user do this?
    pub fn may(&self, user: &UserId, guarded: Guarded) -> bool {
        match (self.user(user), self.level(guarded)) {
            (Some(power), Some(needed)) => power >= needed,
            _ => false,
        }
    }

    /// May a user send events of a type?
    pub fn may_send(
        &self,
        user: &UserId,
        kind: &TimelineEventType,
        state_key: Option<&str>,
    ) -> bool {
        let needed = match (&self.event, state_key) {
            (Some(event), _) => event.event_power_level(kind, state_key, self.rules).ok(),
            (None, Some(_)) => Some(Int::from(STATE_WITHOUT_POWER_LEVELS)),
            (None, None) => Some(Int::from(0)),
        };
        match (self.user(user), needed) {
            (Some(power), Some(needed)) => power >= needed,
            _ => false,
        }
    }

    /// May a user notify everybody in the room (`@room`)?
    pub fn may_notify(&self, user: &UserId, key: &str) -> bool {
        let level = match &self.event {
            Some(event) => match event.notifications(self.rules) {
                Ok(levels) => levels.and_then(|levels| levels.get(key).copied()),
                Err(_) => return false,
            },
            None => None,
        };
        let needed = match level {
            Some(level) => level,
            None if key == "room" => Int::from(ROOM_NOTIFICATION),
            // The level of an unknown kind of notification is unknown too.
            None => return false,
        };
        self.user(user).is_some_and(|power| power >= needed)
    }
}

/// A joined user of `server` who may invite, to name in `join_authorised_via_users_server` of a
/// restricted join; the most powerful one, so that the choice stays valid longest.
pub fn authorising_user(room: &RoomSnapshot, server: &ServerName) -> Option<OwnedUserId> {
    let power = Power::of(room)?;
    room.local_joined
        .iter()
        .filter(|user| user.server_name() == server)
        .filter(|user| power.may(user, Guarded::Invite))
        .max_by_key(|user| power.user(user))
        .cloned()
}

/// Does this room version know restricted joins?
pub fn knows_restricted_joins(version: &RoomVersionId) -> bool {
    room_versions::rules(version).is_ok_and(|rules| rules.authorization.restricted_join_rule)
}
