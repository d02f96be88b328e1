//! What this server knows of a room's past, and what others told it, side by side.
//!
//! Nothing here believes another server about a state: what it told is resolved with every state
//! that is known here.

use std::collections::{HashMap, HashSet};

use matryx_entity::{
    pdu::Pdu, resolve::StateSet, room_snapshot::RoomSnapshot, stretch::Seam,
    timeline::TimelineEvent,
};
use ruma::{
    OwnedEventId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    RoomError, Rooms,
    history::NEAR_SEAM,
    states::{current_set, slot_of},
};

/// How many events one query fetches by id.
const BATCH: usize = 500;

#[derive(Deserialize)]
struct Membership {
    membership: MembershipState,
}

impl Rooms {
    /// Those of some events that are not here at all. One query for 500 of them.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn unknown(
        &self,
        room: &RoomSnapshot,
        ids: &[OwnedEventId],
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let held: HashSet<_> = room.state().map(|event| event.pdu.event_id()).collect();
        let rest: Vec<OwnedEventId> = ids
            .iter()
            .filter(|id| !held.contains(&***id))
            .cloned()
            .collect();
        let mut unknown = Vec::new();
        for ids in rest.chunks(BATCH) {
            let places = self.store().event_places(ids).await?;
            let known = |place: &Option<_>| {
                place
                    .as_ref()
                    .is_some_and(|place: &matryx_entity::event::EventPointer| place.room == room.no)
            };
            let pairs = ids.iter().zip(&places);
            unknown.extend(
                pairs
                    .filter(|(_, place)| !known(place))
                    .map(|(id, _)| id.clone()),
            );
        }
        Ok(unknown)
    }

    /// Those of some events that have a place in the room's timeline. One query.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn placed(
        &self,
        room: &RoomSnapshot,
        ids: &[OwnedEventId],
    ) -> Result<HashSet<OwnedEventId>, RoomError> {
        let pointers = self.store().event_places(ids).await?.into_iter().flatten();
        let placed = pointers.filter(|pointer| pointer.room == room.no && !pointer.is_aside());
        Ok(placed.map(|pointer| pointer.event_id).collect())
    }

    /// Those of some events after which the state is not known here: an event that refers to one
    /// of them can't be judged. One query for 500 of them.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn without_state(
        &self,
        room: &RoomSnapshot,
        ids: impl IntoIterator<Item = OwnedEventId>,
    ) -> Result<HashSet<OwnedEventId>, RoomError> {
        let mut without: HashSet<OwnedEventId> = ids.into_iter().collect();
        for event in &room.recent {
            without.remove(event.pdu.event_id());
        }
        let asked: Vec<OwnedEventId> = without.iter().cloned().collect();
        for ids in asked.chunks(BATCH) {
            for event in self.events_by_id(room, ids).await? {
                if event.group != 0 {
                    without.remove(event.pdu.event_id());
                }
            }
        }
        Ok(without)
    }

    /// The state that some events are. Rejected ones, and those that are not here, are no part of
    /// it; of two for the same slot the last counts. One query for 500 that the current state does
    /// not hold.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn state_of(
        &self,
        room: &RoomSnapshot,
        ids: &[OwnedEventId],
    ) -> Result<StateSet, RoomError> {
        let held: HashMap<_, _> = room
            .state()
            .map(|event| (event.pdu.event_id(), event))
            .collect();
        let mut set = StateSet::new();
        let mut add = |event: &TimelineEvent| {
            if let Some(slot) = slot_of(event).filter(|_| !event.rejected) {
                set.insert(slot, event.pdu.event_id().to_owned());
            }
        };
        let mut rest = Vec::new();
        for id in ids {
            match held.get(&**id) {
                Some(event) => add(event),
                None => rest.push(id.clone()),
            }
        }
        for ids in rest.chunks(BATCH) {
            for event in self.events_by_id(room, ids).await? {
                add(&event);
            }
        }
        Ok(set)
    }

    /// The state before an event of which a part of the past is unknown: what another server told
    /// of it, resolved with the states after those events before it that are known.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn state_with(
        &self,
        room: &RoomSnapshot,
        pdu: &Pdu,
        told: StateSet,
    ) -> Result<StateSet, RoomError> {
        let known = self.events_by_id(room, pdu.prev_events()).await?;
        let groups: HashSet<i64> = known.iter().map(|event| event.group).collect();
        let mut states = vec![told];
        for group in groups.into_iter().filter(|group| *group != 0) {
            states.push(self.stored_state(room.no, group).await?.set);
        }
        self.resolve(room, &states, None).await
    }

    /// The current state, for an event that puts a user of this server out of the room; none for
    /// any other. To those whom an event puts out nobody tells what was before it: unless the
    /// room's rules as they are known here forbid it, it stands.
    pub fn state_at_removal(&self, room: &RoomSnapshot, pdu: &Pdu) -> Option<StateSet> {
        let target = pdu
            .state_key()
            .filter(|_| *pdu.kind() == TimelineEventType::RoomMember)?;
        let target = <&UserId>::try_from(target).ok()?;
        let membership = pdu.content_as::<Membership>()?.membership;
        let removes = matches!(membership, MembershipState::Leave | MembershipState::Ban);
        let is_removed = removes && self.is_ours(target) && room.is_joined(target);
        is_removed.then(|| current_set(room))
    }

    /// How deep the event is from which on this server has followed the room without having left
    /// it.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn first_depth(&self, room: &RoomSnapshot) -> Result<u64, RoomError> {
        let first = self.event_at(room, room.entered).await?;
        Ok(first.map_or(0, |event| event.pdu.depth()))
    }

    /// Is an event that stands on a told state the first after what is stepped over? What is before
    /// this server came is history, and one gap has its seam at the first event above it.
    pub(super) async fn leap_before(
        &self,
        room: &RoomSnapshot,
        pdu: &Pdu,
    ) -> Result<Option<Seam>, RoomError> {
        let near = room.head - NEAR_SEAM;
        let mut recent = room.recent.iter();
        if recent.any(|event| event.pos > near && event.seam.is_some()) {
            return Ok(None);
        }
        let is_history = pdu.depth() <= self.first_depth(room).await?;
        Ok((!is_history).then_some(Seam::Leap))
    }

    /// Does a state say which room it is of?
    pub fn has_create(set: &StateSet) -> bool {
        set.contains_key(&(StateEventType::RoomCreate, String::new()))
    }
}
