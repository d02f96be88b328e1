//! The state of a room at a moment: the current one from the snapshot, any other from its state
//! group.

use std::{collections::HashSet, sync::Arc};

use matryx_entity::{
    event::is_aside, room_snapshot::RoomSnapshot, stretch::FIRST_POS, timeline::TimelineEvent,
};
use ruma::{OwnedUserId, events::StateEventType};

use super::{RoomError, Rooms, view::Moment};

/// Which slots of a state are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slots<'a> {
    /// Every slot.
    All,
    /// One slot.
    One(&'a StateEventType, &'a str),
    /// All of one type.
    Kind(&'a StateEventType),
    /// The members of these users.
    Members(&'a HashSet<OwnedUserId>),
    /// Everything, but of members only those of these users.
    LazyMembers(&'a HashSet<OwnedUserId>),
}

impl Slots<'_> {
    fn contains(self, kind: &str, state_key: &str) -> bool {
        let is_member = || kind == "m.room.member";
        let is_of =
            |users: &HashSet<OwnedUserId>| users.iter().any(|user| user.as_str() == state_key);
        match self {
            Self::All => true,
            Self::One(wanted, wanted_key) => state_key == wanted_key && kind == wanted.to_string(),
            Self::Kind(wanted) => kind == wanted.to_string(),
            Self::Members(users) => is_member() && is_of(users),
            Self::LazyMembers(users) => !is_member() || is_of(users),
        }
    }
}

impl Rooms {
    /// The state at a moment, in no order: nothing is read for the current state, at most four
    /// queries for any other.
    pub(super) async fn state_at(
        &self,
        room: &RoomSnapshot,
        moment: Moment,
        slots: Slots<'_>,
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        let Moment::After(pos) = moment else {
            return Ok(current(room, slots));
        };
        match self.event_at(room, pos).await? {
            Some(event) => self.state_of_group(room, event.group, slots).await,
            None => Ok(Vec::new()),
        }
    }

    /// The state after an event, in no order.
    pub(super) async fn state_after(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
        slots: Slots<'_>,
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        self.state_of_group(room, event.group, slots).await
    }

    /// The member events of these users as they were at an event. Nothing is read for users whose
    /// current member event is older than that.
    pub(super) async fn members_at(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
        users: HashSet<OwnedUserId>,
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        let mut members = Vec::with_capacity(users.len());
        let mut changed_since = HashSet::new();
        // What lies aside held when this server came, and not necessarily before.
        let is_past = event.pos < FIRST_POS;
        for user in users {
            match room.get(&StateEventType::RoomMember, user.as_str()) {
                Some(member) if member.pos <= event.pos && !(is_aside(member.pos) && is_past) => {
                    members.push(Arc::clone(member));
                }
                _ => {
                    changed_since.insert(user);
                }
            }
        }
        if !changed_since.is_empty() {
            let slots = Slots::Members(&changed_since);
            members.extend(self.state_of_group(room, event.group, slots).await?);
        }
        Ok(members)
    }

    async fn state_of_group(
        &self,
        room: &RoomSnapshot,
        group: i64,
        slots: Slots<'_>,
    ) -> Result<Vec<Arc<TimelineEvent>>, RoomError> {
        if group == room.group {
            return Ok(current(room, slots));
        }
        let mut state = Vec::new();
        let mut missing = Vec::new();
        let held = self.store().state_of_group(room.no, group).await?;
        for ((kind, state_key), event_id) in held.unwrap_or_default() {
            if !slots.contains(&kind, &state_key) {
                continue;
            }
            // Most slots still hold what they held then.
            match room.get(&StateEventType::from(kind), &state_key) {
                Some(event) if event.pdu.event_id() == event_id => state.push(Arc::clone(event)),
                _ => missing.push(event_id),
            }
        }
        state.extend(self.events_by_id(room, &missing).await?);
        Ok(state)
    }
}

fn current(room: &RoomSnapshot, slots: Slots<'_>) -> Vec<Arc<TimelineEvent>> {
    let of_users = |users: &HashSet<OwnedUserId>| -> Vec<_> {
        let member = |user: &OwnedUserId| room.get(&StateEventType::RoomMember, user.as_str());
        users.iter().filter_map(member).cloned().collect()
    };
    match slots {
        Slots::All => room.state().cloned().collect(),
        Slots::One(kind, state_key) => room.get(kind, state_key).cloned().into_iter().collect(),
        Slots::Kind(kind) => room
            .slots(kind)
            .map(|(_, event)| Arc::clone(event))
            .collect(),
        Slots::Members(users) => of_users(users),
        Slots::LazyMembers(users) => {
            let others = room.state();
            let others =
                others.filter(|event| event.pdu.state_kind() != Some(StateEventType::RoomMember));
            others.cloned().chain(of_users(users)).collect()
        }
    }
}
