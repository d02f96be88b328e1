//! `presence`: of the users who share a room with the reader, and of the reader.

use std::collections::BTreeMap;

use matryx_entity::{
    device_lists::SharedRoom,
    filter_match::{Facts, passes},
    room_snapshot::RoomSnapshot,
};
use ruma::{
    OwnedUserId, UInt,
    api::client::sync::sync_events::v3::Presence,
    events::presence::{PresenceEvent, PresenceEventContent},
    presence::PresenceState,
    serde::Raw,
};

use super::view::View;
use crate::sync::{error::SyncError, presence::PresenceStatus};

impl View<'_> {
    /// Who changed; for a client without a token, who is not offline.
    pub(super) async fn presence(&self) -> Result<Presence, SyncError> {
        let mut section = Presence::new();
        let hub = &self.inner().presence;
        let mut changed = hub.changed_after(self.ephemeral_since());
        changed.retain(|(user, status)| {
            let is_news = self.since.is_some() || status.presence != PresenceState::Offline;
            let facts = Facts {
                kind: "m.presence",
                sender: Some(user),
            };
            is_news && passes(&self.filter().presence, facts)
        });
        if changed.is_empty() {
            return Ok(section);
        }
        let mut unseen: BTreeMap<_, _> = changed.into_iter().collect();
        let mut seen: Vec<_> = unseen.remove_entry(&self.user.user).into_iter().collect();
        for member in self.user.joined() {
            if unseen.is_empty() {
                break;
            }
            if let Some(room) = self.engine.room(member.room).await? {
                seen.extend(taken(&mut unseen, &room));
            }
        }
        let events = seen.into_iter().filter_map(|it| self.presence_event(it));
        section.events = events.collect();
        Ok(section)
    }

    fn presence_event(
        &self,
        (sender, status): (OwnedUserId, PresenceStatus),
    ) -> Option<Raw<PresenceEvent>> {
        let ago = status.last_active_ago(self.clock);
        let mut content = PresenceEventContent::new(status.presence);
        content.status_msg = status.status_msg;
        content.last_active_ago = ago.and_then(|ago| UInt::try_from(ago).ok());
        content.currently_active = Some(status.currently_active);
        Raw::new(&PresenceEvent { content, sender }).ok()
    }
}

/// Takes out those who are in a room, in the time of the fewer.
fn taken(
    unseen: &mut BTreeMap<OwnedUserId, PresenceStatus>,
    room: &RoomSnapshot,
) -> Vec<(OwnedUserId, PresenceStatus)> {
    let is_small = usize::try_from(room.joined_count).is_ok_and(|count| count < unseen.len());
    let users: Vec<OwnedUserId> = if is_small {
        SharedRoom::joined(room)
    } else {
        let joined = unseen.keys().filter(|user| room.is_joined(user));
        joined.cloned().collect()
    };
    let found = users.iter().filter_map(|user| unseen.remove_entry(user));
    found.collect()
}
