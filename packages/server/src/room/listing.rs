//! What the room directory says of one room.

use matryx_entity::room_snapshot::RoomSnapshot;
use ruma::{
    OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, UInt,
    directory::{PublicRoomsChunk, PublicRoomsChunkInit},
    events::{StateEventType, room::history_visibility::HistoryVisibility},
    room::{JoinRuleKind, RoomType},
};
use serde_json::{Map, Value};

/// The directory's view of a room, made from its state.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) room_id: OwnedRoomId,
    pub(super) joined: u64,
    pub(super) room_type: Option<RoomType>,
    name: Option<String>,
    topic: Option<String>,
    canonical_alias: Option<OwnedRoomAliasId>,
    avatar_url: Option<OwnedMxcUri>,
    join_rule: JoinRuleKind,
    world_readable: bool,
    guests_may_join: bool,
    /// All that a search looks at, in lower case.
    haystack: String,
}

impl Listing {
    /// What the directory says of a room.
    pub(super) fn of(room: &RoomSnapshot) -> Self {
        let text = |kind: StateEventType, field: &str| -> Option<String> {
            let content: Map<String, Value> = room.get(&kind, "")?.pdu.content_as()?;
            let text = content.get(field)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let name = text(StateEventType::RoomName, "name");
        let topic = text(StateEventType::RoomTopic, "topic");
        let canonical_alias = text(StateEventType::RoomCanonicalAlias, "alias");
        let searched = [&name, &topic, &canonical_alias];
        let searched: Vec<&str> = searched.into_iter().flatten().map(String::as_str).collect();
        let guest_access = text(StateEventType::RoomGuestAccess, "guest_access");
        Self {
            room_id: room.room_id.clone(),
            joined: room.joined_count,
            room_type: text(StateEventType::RoomCreate, "type").map(RoomType::from),
            haystack: searched.join("\n").to_lowercase(),
            name,
            topic,
            canonical_alias: canonical_alias.and_then(|alias| alias.try_into().ok()),
            avatar_url: text(StateEventType::RoomAvatar, "url").map(OwnedMxcUri::from),
            join_rule: text(StateEventType::RoomJoinRules, "join_rule")
                .map_or(JoinRuleKind::Invite, JoinRuleKind::from),
            world_readable: room.visibility_at(room.head) == HistoryVisibility::WorldReadable,
            guests_may_join: guest_access.as_deref() == Some("can_join"),
        }
    }

    /// May a stranger look at the room, get in or ask to get in? Only such rooms are listed,
    /// whoever published them, and only while somebody is in them.
    pub(super) fn is_open(&self) -> bool {
        let enterable = matches!(
            self.join_rule,
            JoinRuleKind::Public | JoinRuleKind::Knock | JoinRuleKind::KnockRestricted
        );
        self.joined > 0 && (self.world_readable || enterable)
    }

    /// Does the room's name, topic or alias contain this term, given in lower case?
    pub(super) fn mentions(&self, term: &str) -> bool {
        self.haystack.contains(term)
    }

    /// The form for clients.
    pub(super) fn chunk(&self) -> PublicRoomsChunk {
        let mut chunk = PublicRoomsChunk::from(PublicRoomsChunkInit {
            num_joined_members: UInt::try_from(self.joined).unwrap_or(UInt::MAX),
            room_id: self.room_id.clone(),
            world_readable: self.world_readable,
            guest_can_join: self.guests_may_join,
        });
        chunk.name.clone_from(&self.name);
        chunk.topic.clone_from(&self.topic);
        chunk.canonical_alias.clone_from(&self.canonical_alias);
        chunk.avatar_url.clone_from(&self.avatar_url);
        chunk.join_rule = self.join_rule.clone();
        chunk.room_type.clone_from(&self.room_type);
        chunk
    }

    #[cfg(test)]
    pub(super) fn for_test(room_id: OwnedRoomId, joined: u64) -> Self {
        Self {
            room_id,
            joined,
            room_type: None,
            name: None,
            topic: None,
            canonical_alias: None,
            avatar_url: None,
            join_rule: JoinRuleKind::Public,
            world_readable: false,
            guests_may_join: false,
            haystack: String::new(),
        }
    }
}
