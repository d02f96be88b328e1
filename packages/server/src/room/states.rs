//! Whole states of a room: read from their groups, compared, resolved.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    key,
    pdu::Pdu,
    resolve::{self, StateSet},
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    room_versions,
    state::StateGroup,
    timeline::TimelineEvent,
};
use ruma::{OwnedEventId, events::StateEventType};
use tokio::task::spawn_blocking;

use super::{RoomError, Rooms, auth_chain::ChainWalk, queue::GroupChain};

/// A state that is stored as a group.
#[derive(Clone, Debug)]
pub(super) struct StoredState {
    pub(super) group: i64,
    pub(super) chain: GroupChain,
    pub(super) set: StateSet,
}

/// How one state differs from another.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Slots that another event holds, or none held.
    pub(super) set: Vec<(StateEventType, String, OwnedEventId)>,
    /// Slots that nothing holds any more.
    pub(super) unset: Vec<(StateEventType, String)>,
}

impl Difference {
    /// What leads from `old` to `new`.
    pub(super) fn between(old: &StateSet, new: &StateSet) -> Self {
        let mut difference = Self::default();
        for (slot, event_id) in new {
            if old.get(slot) != Some(event_id) {
                let (kind, state_key) = slot.clone();
                difference.set.push((kind, state_key, event_id.clone()));
            }
        }
        difference
            .unset
            .extend(old.keys().filter(|slot| !new.contains_key(*slot)).cloned());
        difference
    }

    /// What leads from the room as it is to `new`.
    pub(super) fn to_room(room: &RoomSnapshot, new: &StateSet) -> Self {
        let mut difference = Self::default();
        for ((kind, state_key), event_id) in new {
            let held = room.get(kind, state_key);
            if held.is_none_or(|event| event.pdu.event_id() != event_id) {
                let slot = (kind.clone(), state_key.clone(), event_id.clone());
                difference.set.push(slot);
            }
        }
        for event in room.state() {
            if let Some(slot) = slot_of(event).filter(|slot| !new.contains_key(slot)) {
                difference.unset.push(slot);
            }
        }
        difference
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }
}

/// The slot that a state event is for.
pub(super) fn slot_of(event: &TimelineEvent) -> Option<(StateEventType, String)> {
    let state_key = event.pdu.state_key()?;
    Some((event.pdu.state_kind()?, state_key.to_owned()))
}

/// The current state.
pub(super) fn current_set(room: &RoomSnapshot) -> StateSet {
    room.state()
        .filter_map(|event| Some((slot_of(event)?, event.pdu.event_id().to_owned())))
        .collect()
}

impl Rooms {
    /// The state of a group that is in the database: two or three queries.
    pub(super) async fn stored_state(
        &self,
        room: RoomNo,
        group: i64,
    ) -> Result<StoredState, RoomError> {
        let missing = || RoomError::Damaged("a state group is missing");
        let stored = self.store().get::<StateGroup>(&key![room, group]).await?;
        let stored = stored.ok_or_else(missing)?;
        let folded = self.store().state_of_group(room, group).await?;
        let set = folded.ok_or_else(missing)?;
        Ok(StoredState {
            group,
            chain: GroupChain {
                base: stored.base,
                length: stored.length,
            },
            set: set
                .into_iter()
                .map(|((kind, key), event_id)| ((StateEventType::from(kind), key), event_id))
                .collect(),
        })
    }

    /// One state from several. Nothing is read for states that are equal; otherwise one query for
    /// each level of their auth chains, as far as they are not part of the current state. `new` is
    /// the event that is not stored yet.
    pub(super) async fn resolve(
        &self,
        room: &RoomSnapshot,
        states: &[StateSet],
        new: Option<&Arc<Pdu>>,
    ) -> Result<StateSet, RoomError> {
        if let [first, others @ ..] = states
            && others.iter().all(|other| other == first)
        {
            return Ok(first.clone());
        }
        let events = self.auth_graph(room, states, new).await?;
        let rules = room_versions::rules(&room.version)?;
        // It may take seconds, in which other rooms go on.
        let states = states.to_vec();
        let resolved = spawn_blocking(move || {
            resolve::resolve(rules, &states, |event_id| events.get(event_id).cloned())
        });
        Ok(resolved
            .await
            .map_err(|_cancelled| RoomError::ShuttingDown)??)
    }

    /// The events of some states and of their auth chains.
    pub(super) async fn auth_graph(
        &self,
        room: &RoomSnapshot,
        states: &[StateSet],
        new: Option<&Arc<Pdu>>,
    ) -> Result<HashMap<OwnedEventId, Arc<Pdu>>, RoomError> {
        let current: HashMap<_, _> = room
            .state()
            .map(|event| (event.pdu.event_id(), event))
            .collect();
        let mut graph: HashMap<OwnedEventId, Arc<Pdu>> = HashMap::new();
        let mut open: Vec<OwnedEventId> =
            states.iter().flat_map(StateSet::values).cloned().collect();
        let mut walk = ChainWalk::new(self, room);
        while !open.is_empty() {
            let mut found: Vec<Arc<Pdu>> = Vec::new();
            let mut unknown = Vec::new();
            open.sort_unstable();
            open.dedup();
            for event_id in open.drain(..) {
                if graph.contains_key(&event_id) {
                    continue;
                }
                match current.get(&*event_id) {
                    Some(event) => found.push(Arc::clone(&event.pdu)),
                    None => match new.filter(|new| new.event_id() == event_id) {
                        Some(new) => found.push(Arc::clone(new)),
                        None => unknown.push(event_id),
                    },
                }
            }
            let stored = walk.level(&unknown).await?;
            found.extend(stored.iter().map(|event| Arc::clone(&event.pdu)));
            for pdu in found {
                open.extend(pdu.auth_events().iter().cloned());
                graph.insert(pdu.event_id().to_owned(), pdu);
            }
        }
        Ok(graph)
    }
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    fn state(slots: &[(&str, &str)]) -> StateSet {
        let slot = |(kind, event): &(&str, &str)| {
            let event_id = ruma::EventId::parse(format!("${event}")).unwrap();
            ((StateEventType::from(*kind), String::new()), event_id)
        };
        slots.iter().map(slot).collect()
    }

    #[test]
    fn a_difference_leads_from_one_state_to_the_other() {
        let old = state(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let new = state(&[("a", "1"), ("b", "4"), ("d", "5")]);
        let mut difference = Difference::between(&old, &new);
        difference.set.sort_unstable();
        let slot = |kind: &str| (StateEventType::from(kind), String::new());
        assert_eq!(
            difference.set,
            [
                (slot("b").0, String::new(), event_id!("$4").to_owned()),
                (slot("d").0, String::new(), event_id!("$5").to_owned()),
            ]
        );
        assert_eq!(difference.unset, [slot("c")]);
        assert!(Difference::between(&old, &old).is_empty());
    }
}
