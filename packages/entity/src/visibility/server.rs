//! What another server may see of a room.
//!
//! A server sees what one of its users may see. It is asked only of servers that are in the room
//! now, whose users may see all that is shared; so only where the history is for those who were
//! there (`joined`, `invited`) does it matter who was. What a server may not see it gets redacted:
//! the skeleton of an event is part of the room's graph, without which nobody can follow it.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events)

use ruma::{
    ServerName, UserId,
    events::{
        TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};

use super::changes_visibility;
use crate::{event::is_aside, room_snapshot::RoomSnapshot, timeline::TimelineEvent};

/// How a server took part in a room at one moment: by its user who took part most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerStanding {
    /// None of its users was joined or invited.
    #[default]
    Absent,
    /// One was invited.
    Invited,
    /// One was joined.
    Joined,
}

impl ServerStanding {
    /// Of a server with these memberships.
    pub fn of(memberships: impl IntoIterator<Item = MembershipState>) -> Self {
        let standing = |membership| match membership {
            MembershipState::Join => Self::Joined,
            MembershipState::Invite => Self::Invited,
            _ => Self::Absent,
        };
        memberships
            .into_iter()
            .map(standing)
            .max()
            .unwrap_or_default()
    }
}

/// A server that looks at a room.
#[derive(Clone, Copy, Debug)]
pub struct ServerViewer<'a> {
    server: &'a ServerName,
    room: &'a RoomSnapshot,
    /// Since when one of its users is joined who still is.
    joined_since: Option<i64>,
}

impl<'a> ServerViewer<'a> {
    /// A server, and a room as it is now.
    pub fn new(server: &'a ServerName, room: &'a RoomSnapshot) -> Self {
        let joined = room.joined_servers.get(server);
        // What lies aside was there before this server came.
        let joined_since = joined
            .and_then(|places| places.get_min())
            .map(|first| if is_aside(*first) { 0 } else { *first });
        Self {
            server,
            room,
            joined_since,
        }
    }

    /// Is one of its users joined now?
    pub fn is_in_room(&self) -> bool {
        self.joined_since.is_some()
    }

    /// Is it one of its users?
    pub fn has(&self, user: &str) -> bool {
        is_of(self.server, user)
    }

    /// May the server, which is in the room, see this event? `None` where that depends on how it
    /// took part in the room then.
    ///
    /// Rejected and soft-failed events are seen by nobody.
    pub fn sees_at_once(&self, event: &TimelineEvent) -> Option<bool> {
        if !event.is_shown() {
            return Some(false);
        }
        // What lies aside is of a state or an auth chain, which is told to whoever is in the room.
        if is_aside(event.pos) {
            return Some(event.pdu.state_key().is_some());
        }
        let is_open = |visibility: &HistoryVisibility| {
            !matches!(
                visibility,
                HistoryVisibility::Invited | HistoryVisibility::Joined
            )
        };
        let was_there = self.joined_since.is_some_and(|since| since <= event.pos);
        let is_own = self.has(event.pdu.sender().as_str())
            || *event.pdu.kind() == TimelineEventType::RoomMember
                && event.pdu.state_key().is_some_and(|user| self.has(user));
        let sees = was_there || is_own || self.visibility_around(event).iter().any(is_open);
        sees.then_some(true)
    }

    /// The same, with what the server was in the room at the event.
    pub fn sees(&self, event: &TimelineEvent, standing: ServerStanding) -> bool {
        self.sees_at_once(event).unwrap_or_else(|| match standing {
            ServerStanding::Joined => true,
            ServerStanding::Invited => self
                .visibility_around(event)
                .contains(&HistoryVisibility::Invited),
            ServerStanding::Absent => false,
        })
    }

    /// The room's history visibility before the event and after it.
    fn visibility_around(&self, event: &TimelineEvent) -> [HistoryVisibility; 2] {
        if let Some(past) = &event.past {
            return past.visibility.clone();
        }
        let pos = event.pos;
        let at = |pos: i64| match self.room.visibility.front() {
            // History from before this server came: all that is known is what held when it did.
            Some((_, first)) if pos < 1 => first.clone(),
            _ => self.room.visibility_at(pos),
        };
        let before = if changes_visibility(event) && pos > 1 {
            pos - 1
        } else {
            pos
        };
        [at(before), at(pos)]
    }
}

/// Is it a user of this server? The comparison of the ends comes first because it is asked of every
/// member of a state.
fn is_of(server: &ServerName, user: &str) -> bool {
    user.ends_with(server.as_str())
        && <&UserId>::try_from(user).is_ok_and(|user| user.server_name() == server)
}
