//! Which servers an event is for.

use std::sync::Arc;

use matryx_entity::{
    room_snapshot::{RoomSnapshot, membership_of},
    timeline::TimelineEvent,
};
use ruma::{
    OwnedServerName, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{SenderError, Shared};

/// How many users of a server, and how many earlier member events in all, are looked at to find out
/// whether the server was in the room at an earlier moment.
const MAX_USERS: usize = 4;
const MAX_STEPS: usize = 16;

/// Why this server is the one to send an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is of a user of this server.
    Ours,
    /// Its server gave it to this one only.
    Forward,
    /// None: it is of a user of this server, and another one tells of it. Who comes to share a room by
    /// it is introduced nevertheless.
    Told,
}

impl Shared {
    /// All servers that get an event. Reads nothing for an event that the room's members have not
    /// changed after.
    pub(super) async fn audience(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
        reason: Reason,
    ) -> Result<Vec<OwnedServerName>, SenderError> {
        let mut audience = Vec::new();
        if !self.is_to_send(event, reason) {
            return Ok(audience);
        }
        for server in room.joined_servers.keys() {
            if self.is_member(room, event, server).await? {
                audience.push(server.clone());
            }
        }
        if let Some(target) = self.put_out(room, event).await?
            && !audience.contains(&target)
        {
            audience.push(target);
        }
        Ok(audience)
    }

    /// Does this server get an event?
    pub(super) async fn is_for(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
        reason: Reason,
        server: &ServerName,
    ) -> Result<bool, SenderError> {
        if !self.is_to_send(event, reason) {
            return Ok(false);
        }
        if room.joined_servers.contains_key(server) && self.is_member(room, event, server).await? {
            return Ok(true);
        }
        Ok(self.put_out(room, event).await?.as_deref() == Some(server))
    }

    fn is_to_send(&self, event: &TimelineEvent, reason: Reason) -> bool {
        let is_ours = event.pdu.sender().server_name() == self.server_name;
        let is_for_us = match reason {
            Reason::Ours => is_ours,
            Reason::Forward => !is_ours,
            Reason::Told => false,
        };
        is_for_us && event.is_shown() && event.pos > 0
    }

    /// Is it another server that takes part in the room, now and at the moment of the event?
    async fn is_member(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
        server: &ServerName,
    ) -> Result<bool, SenderError> {
        if *server == self.server_name || server == event.pdu.sender().server_name() {
            return Ok(false);
        }
        // Who is being shut out has to learn of it.
        let is_acl = *event.pdu.kind() == TimelineEventType::RoomServerAcl;
        if !is_acl && !self.acls.allows(room, server) {
            return Ok(false);
        }
        let Some(places) = room.joined_servers.get(server) else {
            return Ok(false);
        };
        if places.get_min().is_some_and(|first| *first <= event.pos) {
            return Ok(true);
        }
        // All of its member events are later: it has joined since, or they only changed their names.
        let mut steps = MAX_STEPS;
        for place in places.iter().take(MAX_USERS) {
            let mut place = *place;
            while let Some(before) = self.event_at(room, place).await?.and_then(|it| it.replaces) {
                steps = steps.saturating_sub(1);
                if before <= event.pos {
                    let held = self.event_at(room, before).await?;
                    if held.is_some_and(|it| membership_of(&it) == MembershipState::Join) {
                        return Ok(true);
                    }
                    break;
                }
                if steps == 0 || before >= place {
                    return Ok(false);
                }
                place = before;
            }
        }
        Ok(false)
    }

    /// The server of a user whom this event removes from the room, or whose invite it takes back.
    async fn put_out(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
    ) -> Result<Option<OwnedServerName>, SenderError> {
        let pdu = &event.pdu;
        let target = pdu
            .state_key()
            .and_then(|key| <&UserId>::try_from(key).ok());
        let (TimelineEventType::RoomMember, Some(target)) = (pdu.kind(), target) else {
            return Ok(None);
        };
        let server = target.server_name();
        let removes = matches!(
            membership_of(event),
            MembershipState::Leave | MembershipState::Ban
        );
        if !removes || *server == self.server_name || server == pdu.sender().server_name() {
            return Ok(None);
        }
        let Some(before) = event.replaces else {
            return Ok(None);
        };
        let held = self.event_at(room, before).await?;
        let was_in = held.is_some_and(|held| {
            matches!(
                membership_of(&held),
                MembershipState::Join | MembershipState::Invite | MembershipState::Knock
            )
        });
        Ok(was_in.then(|| server.to_owned()))
    }

    /// An event by its place: from the recent ones, or with one query.
    pub(super) async fn event_at(
        &self,
        room: &RoomSnapshot,
        place: i64,
    ) -> Result<Option<Arc<TimelineEvent>>, SenderError> {
        let recent = room.recent.iter().rev().find(|event| event.pos == place);
        if let Some(event) = recent {
            return Ok(Some(Arc::clone(event)));
        }
        let row = self.deps.store.event_at(room.no, place).await?;
        let event = row.map(|row| TimelineEvent::from_row(row, &room.room_id));
        Ok(event.transpose()?)
    }
}
