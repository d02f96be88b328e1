//! History visibility: the one function that says whether a user may see an event, and the one
//! that says it of a [`server`].
//!
//! Every read path and every emission asks here and nowhere else.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-4)

use ruma::{
    UserId,
    events::{
        TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};

use crate::{
    event::is_aside, member::Member, room_snapshot::RoomSnapshot, timeline::TimelineEvent,
};

pub mod server;

/// What holds around one event, for one user: just before it and right after it.
///
/// For an event that changes neither, both sides are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The room's history visibility, before and after.
    pub visibility: [HistoryVisibility; 2],
    /// The user's membership, before and after.
    pub membership: [MembershipState; 2],
    /// Did the user join at any point after the event?
    pub joins_later: bool,
}

impl Surroundings {
    /// May the user see the event?
    ///
    /// A change of the history visibility, and a change of the user's own membership, are seen by
    /// who may see them by what held before or by what held after.
    pub fn allow(&self) -> bool {
        self.visibility.iter().any(|visibility| {
            self.membership
                .iter()
                .any(|membership| allows(visibility, membership, self.joins_later))
        })
    }
}

/// The algorithm of the spec, for one visibility and one membership.
fn allows(visibility: &HistoryVisibility, membership: &MembershipState, joins_later: bool) -> bool {
    match (visibility, membership) {
        // 1. world_readable: allow. 2. The user was joined: allow.
        (HistoryVisibility::WorldReadable, _) | (_, MembershipState::Join) => true,
        // 4. invited, and the user was invited: allow.
        (HistoryVisibility::Invited, membership) => *membership == MembershipState::Invite,
        (HistoryVisibility::Joined, _) => false,
        // 3. shared, and the user joined at any point after the event: allow. A visibility that
        // nobody knows counts as shared.
        _ => joins_later,
    }
}

/// Where an event stands among the others. What lies aside was there before this server came to
/// the room.
fn place(event: &TimelineEvent) -> i64 {
    if is_aside(event.pos) { 0 } else { event.pos }
}

fn changes_visibility(event: &TimelineEvent) -> bool {
    *event.pdu.kind() == TimelineEventType::RoomHistoryVisibility
        && event.pdu.state_key() == Some("")
}

/// One user who looks at one room.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    user: Option<&'a UserId>,
    member: Option<&'a Member>,
    room: &'a RoomSnapshot,
}

impl<'a> Viewer<'a> {
    /// A user with a membership record, or one who never had any to do with the room.
    pub fn new(user: &'a UserId, member: Option<&'a Member>, room: &'a RoomSnapshot) -> Self {
        Self {
            user: Some(user),
            member,
            room,
        }
    }

    /// Somebody unknown, who sees what is world-readable.
    pub fn stranger(room: &'a RoomSnapshot) -> Self {
        Self {
            user: None,
            member: None,
            room,
        }
    }

    /// May this user see the event?
    ///
    /// Rejected and soft-failed events are seen by nobody.
    pub fn sees(&self, event: &TimelineEvent) -> bool {
        event.is_shown() && (self.sees_all_at_once(place(event)) || self.around(event).allow())
    }

    /// May this user see everything after the last change of membership and visibility, so that
    /// an event beyond both needs no further thought? The usual case: joined, and joined before.
    fn sees_all_at_once(&self, pos: i64) -> bool {
        self.member
            .and_then(|member| member.spans.last())
            .is_some_and(|(from, membership)| *membership == MembershipState::Join && *from <= pos)
    }

    /// The membership of this user at the event: what `unsigned.membership` says.
    pub fn membership_at(&self, event: &TimelineEvent) -> MembershipState {
        if event.past.is_some() {
            let [_, after] = self.around(event).membership;
            return after;
        }
        self.membership_after(place(event))
    }

    fn membership_after(&self, pos: i64) -> MembershipState {
        self.member
            .map_or(MembershipState::Leave, |member| member.at_pos(pos))
    }

    /// What holds around the event for this user.
    pub fn around(&self, event: &TimelineEvent) -> Surroundings {
        let pos = place(event);
        if let Some(past) = &event.past {
            let member = past.members.iter();
            let mut member = member.filter(|(user, _)| self.user == Some(user));
            let outside = [MembershipState::Leave, MembershipState::Leave];
            return Surroundings {
                visibility: past.visibility.clone(),
                membership: member.next().map_or(outside, |(_, held)| held.clone()),
                joins_later: self.joins_after(pos),
            };
        }
        // Places are dense, so what holds before an event holds after the one before it.
        let before = pos.saturating_sub(1);
        let own_membership = *event.pdu.kind() == TimelineEventType::RoomMember
            && self
                .user
                .is_some_and(|user| event.pdu.state_key() == Some(user.as_str()));
        let visibility = self.room.visibility_at(pos);
        let membership = self.membership_after(pos);
        Surroundings {
            visibility: if changes_visibility(event) {
                [self.room.visibility_at(before), visibility]
            } else {
                [visibility.clone(), visibility]
            },
            membership: if own_membership {
                [self.membership_after(before), membership]
            } else {
                [membership.clone(), membership]
            },
            joins_later: self.joins_after(pos),
        }
    }

    fn joins_after(&self, pos: i64) -> bool {
        self.member.is_some_and(|member| {
            member
                .spans
                .iter()
                .rev()
                .take_while(|(from, _)| *from > pos)
                .any(|(_, membership)| *membership == MembershipState::Join)
        })
    }

    /// May this user look at the room's current state and newest events at all: joined, or
    /// anybody when the room is world-readable?
    pub fn sees_now(&self) -> bool {
        self.membership_after(self.room.head) == MembershipState::Join
            || self.room.visibility_at(self.room.head) == HistoryVisibility::WorldReadable
    }
}
