//! `presence`: of the users who share a room with the reader, and of the reader.

use matryx_entity::filter_match::{Facts, passes};
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
        let mut seen = vec![false; changed.len()];
        for member in self.user.joined() {
            let Some(room) = self.engine.room(member.room).await? else {
                continue;
            };
            for ((user, _), seen) in changed.iter().zip(&mut seen) {
                *seen = *seen || room.is_joined(user);
            }
        }
        let told = changed
            .into_iter()
            .zip(seen)
            .filter(|((user, _), seen)| *seen || *user == self.user.user);
        let events = told.filter_map(|(changed, _)| self.presence_event(changed));
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
