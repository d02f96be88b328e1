//! The `summary` of one room: member counts, and heroes for a room without a name.

use std::collections::BTreeSet;

use matryx_entity::room_snapshot::{RoomSnapshot, membership_of};
use ruma::{
    OwnedUserId, UInt, UserId,
    api::client::sync::sync_events::v3::RoomSummary,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{timeline::Found, view::View};

/// How many heroes a room has.
const HEROES: usize = 5;

impl View<'_> {
    /// The summary, if it may have changed for this client.
    pub(super) fn summary(
        &self,
        room: &RoomSnapshot,
        found: &Found,
        full: bool,
    ) -> Option<RoomSummary> {
        let changed = full
            || !found.whole
            || found.window.iter().any(|event| {
                event.pdu.state_key().is_some()
                    && matches!(
                        event.pdu.kind(),
                        TimelineEventType::RoomMember
                            | TimelineEventType::RoomName
                            | TimelineEventType::RoomCanonicalAlias
                    )
            });
        changed.then(|| {
            let mut summary = RoomSummary::new();
            summary.joined_member_count = UInt::new(room.joined_count);
            summary.invited_member_count = UInt::new(room.invited_count);
            if !has_name(room) {
                summary.heroes = heroes(room, &self.user.user);
            }
            summary
        })
    }
}

fn has_name(room: &RoomSnapshot) -> bool {
    #[derive(Default, Deserialize)]
    struct Content {
        name: Option<String>,
        alias: Option<String>,
    }
    let given = |kind| {
        let content = room
            .get(&kind, "")
            .and_then(|event| event.pdu.content_as::<Content>())
            .unwrap_or_default();
        content
            .name
            .or(content.alias)
            .is_some_and(|text| !text.is_empty())
    };
    given(StateEventType::RoomName) || given(StateEventType::RoomCanonicalAlias)
}

/// The first members by the place of their event: joined and invited ones, or those who left if
/// there are none.
fn heroes(room: &RoomSnapshot, own: &UserId) -> Vec<OwnedUserId> {
    let present = first_members(room, own, |membership| {
        matches!(membership, MembershipState::Join | MembershipState::Invite)
    });
    if !present.is_empty() {
        return present;
    }
    first_members(room, own, |membership| {
        matches!(membership, MembershipState::Leave | MembershipState::Ban)
    })
}

fn first_members(
    room: &RoomSnapshot,
    own: &UserId,
    wanted: impl Fn(&MembershipState) -> bool,
) -> Vec<OwnedUserId> {
    let mut first = BTreeSet::new();
    for (key, event) in room.slots(&StateEventType::RoomMember) {
        let place = (event.pos, key);
        let is_early = first.len() < HEROES || first.last().is_some_and(|last| place < *last);
        if is_early && key != own.as_str() && wanted(&membership_of(event)) {
            first.insert(place);
            if first.len() > HEROES {
                first.pop_last();
            }
        }
    }
    first
        .into_iter()
        .filter_map(|(_, key)| OwnedUserId::try_from(key).ok())
        .collect()
}
