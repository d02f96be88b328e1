//! One room of `rooms.leave`: what happened up to the leave, and nothing after it.

use std::{borrow::Cow, sync::Arc};

use matryx_entity::{
    member::Member,
    room_snapshot::{RoomSnapshot, SlotChange},
    timeline::TimelineEvent,
    token::SyncToken,
};
use ruma::{api::client::sync::sync_events::v3::LeftRoom, events::room::member::MembershipState};

use super::{
    lazy::LazyMembers,
    state::{Extent, StateRequest},
    timeline::{Found, Stretch},
    view::View,
};
use crate::sync::error::SyncError;

impl View<'_> {
    pub(super) async fn left_room(
        &self,
        member: &Arc<Member>,
        members: &mut LazyMembers,
    ) -> Result<Option<LeftRoom>, SyncError> {
        let mut left = LeftRoom::new();
        if member.pos == 0 {
            // An invite or a knock that ended before this server was in the room.
            return Ok(Some(left));
        }
        let room = self.room(member.room).await?;
        let stretch = self.stretch_before_leave(&room, member).await?;
        let found = self.timeline(&room, member, stretch).await?;
        let state = match left_at(member) {
            Some(left_at) => {
                self.state_before_leave(&room, left_at, &found, stretch.from, members)
                    .await?
            }
            None => Vec::new(),
        };
        left.state = self.render_state(&state);
        left.timeline = self.render_timeline(&room, member, &found).await?;
        left.account_data = self.room_account_data(&member.room_id, stretch.from);
        Ok(Some(left))
    }

    /// Up to the leave; from the client's token on if it had the room before.
    async fn stretch_before_leave<'a>(
        &'a self,
        room: &RoomSnapshot,
        member: &Member,
    ) -> Result<Stretch<'a>, SyncError> {
        let mut from = self.since.filter(|_| !self.request.full_state);
        let joined_at = member
            .spans
            .iter()
            .rev()
            .find(|(_, membership)| *membership == MembershipState::Join)
            .map(|(pos, _)| *pos);
        if let (Some(since), Some(joined_at)) = (from, joined_at) {
            let joined = self.engine.events_at(room, &[joined_at]).await?;
            // Joined and left within the window: the client has nothing of the room.
            if joined
                .get(&joined_at)
                .is_some_and(|event| !since.covers(event.at()))
            {
                from = None;
            }
        }
        Ok(Stretch {
            from,
            to: member.pos,
        })
    }

    async fn state_before_leave(
        &self,
        room: &Arc<RoomSnapshot>,
        left_at: i64,
        found: &Found,
        from: Option<&SyncToken>,
        members: &mut LazyMembers,
    ) -> Result<Vec<Arc<TimelineEvent>>, SyncError> {
        let held = self.room_at_leave(room, left_at).await?;
        let request = StateRequest {
            room,
            held: &held,
            found,
            extent: from.map_or(Extent::Full, Extent::Since),
            heroes: &[],
        };
        self.state(&request, members).await
    }

    /// The room's state when the user left. What came after that, when they were invited again or
    /// banned, say, is not for them.
    async fn room_at_leave<'r>(
        &self,
        room: &'r RoomSnapshot,
        left_at: i64,
    ) -> Result<Cow<'r, RoomSnapshot>, SyncError> {
        let leave = self.engine.events_at(room, &[left_at]).await?;
        let Some(leave) = leave.get(&left_at) else {
            return Err(SyncError::Inconsistent {
                room: room.no.0,
                what: "the event of a membership record is missing",
            });
        };
        if leave.group == room.group {
            return Ok(Cow::Borrowed(room));
        }
        let mut at_leave = RoomSnapshot::empty(room.no, room.room_id.clone(), room.version.clone());
        at_leave.group = leave.group;
        let local = self.inner().rooms.local();
        for event in self.engine.state_of_group(room, leave.group).await? {
            let (Some(kind), Some(state_key)) = (event.pdu.state_kind(), event.pdu.state_key())
            else {
                continue;
            };
            let change = SlotChange {
                kind,
                state_key: state_key.to_owned(),
                event: Some(Arc::clone(&event)),
            };
            at_leave.set_slot(change, event.pos, local);
        }
        Ok(Cow::Owned(at_leave))
    }
}

/// The place at which the user was last in the room no more; none for who never was in it.
fn left_at(member: &Member) -> Option<i64> {
    let joined = member
        .spans
        .iter()
        .rposition(|(_, membership)| *membership == MembershipState::Join)?;
    member.spans.get(joined + 1).map(|(pos, _)| *pos)
}
