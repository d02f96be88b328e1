//! One room of `rooms.join`.

use std::sync::Arc;

use matryx_entity::{member::Member, room_snapshot::RoomSnapshot};
use ruma::{
    UInt,
    api::client::sync::sync_events::{UnreadNotificationsCount, v3::JoinedRoom},
};

use super::{
    lazy::LazyMembers,
    state::{Extent, StateRequest},
    timeline::Stretch,
    view::View,
    window::Touch,
};
use crate::sync::{error::SyncError, unread::Unread};

impl View<'_> {
    /// The room, if there is anything to say of it.
    pub(super) async fn joined_room(
        &self,
        member: &Arc<Member>,
        touch: Touch,
        members: &mut LazyMembers,
    ) -> Result<Option<JoinedRoom>, SyncError> {
        let room = self.room(member.room).await?;
        // A room that the user joined within the window is all new to the client, also when it
        // was left within the same window.
        let is_new = self.is_newly_joined(&room, member).await?;
        let full = is_new || self.request.full_state;
        let from = self.since.filter(|_| !is_new);
        let mut joined = JoinedRoom::new();
        let mut said = full;
        if touch.events || full {
            let stretch = Stretch { from, to: i64::MAX };
            let mut found = self.timeline(&room, member, stretch).await?;
            // The client may hold a part of the room from before it left; that does not connect.
            found.limited |= is_new && self.since.is_some();
            let summary = self.summary(&room, &found, full);
            let heroes = summary.as_ref().map(|summary| summary.heroes.as_slice());
            let state = self
                .state(
                    &StateRequest {
                        room: &room,
                        held: &room,
                        found: &found,
                        extent: from.filter(|_| !full).map_or(Extent::Full, Extent::Since),
                        heroes: heroes.unwrap_or_default(),
                    },
                    members,
                )
                .await?;
            said |= found.limited || !found.events.is_empty() || !state.is_empty();
            said |= summary.is_some();
            joined.summary = summary.unwrap_or_default();
            joined.state = self.render_state(&state);
            joined.timeline = self.render_timeline(&room, member, &found).await?;
        } else {
            joined.timeline.prev_batch = Some(self.after_newest(&room));
        }
        joined.ephemeral = self.ephemeral(&room, from, &touch).await?;
        joined.account_data = self.room_account_data(&member.room_id, from);
        said |= !joined.ephemeral.is_empty() || !joined.account_data.is_empty();
        if !said {
            return Ok(None);
        }
        self.count_unread(&room, member, &mut joined).await?;
        Ok(Some(joined))
    }

    /// Did the user join within the window?
    async fn is_newly_joined(
        &self,
        room: &RoomSnapshot,
        member: &Member,
    ) -> Result<bool, SyncError> {
        if member.since.seq > 0 || !self.is_new(member.at) {
            return Ok(self.is_new(member.since));
        }
        // The record changed within the window, but not when it was made a membership: the event
        // that did so knows.
        let joined_at = member.spans.last().map_or(member.pos, |(pos, _)| *pos);
        let joined = self.engine.events_at(room, &[joined_at]).await?;
        Ok(joined
            .get(&joined_at)
            .is_some_and(|event| self.is_new(event.at())))
    }

    async fn count_unread(
        &self,
        room: &RoomSnapshot,
        member: &Member,
        joined: &mut JoinedRoom,
    ) -> Result<(), SyncError> {
        let counts = self.engine.unread(&self.user, room, member).await?;
        if self.filter().room.timeline.unread_thread_notifications {
            joined.unread_notifications = notifications(counts.main);
            let threads = counts.threads.into_iter();
            joined.unread_thread_notifications = threads
                .map(|(root, unread)| (root, notifications(unread)))
                .collect();
        } else {
            joined.unread_notifications = notifications(counts.total());
        }
        Ok(())
    }
}

fn notifications(unread: Unread) -> UnreadNotificationsCount {
    let mut count = UnreadNotificationsCount::new();
    count.notification_count = UInt::new(unread.notifications);
    count.highlight_count = UInt::new(unread.highlights);
    count
}
