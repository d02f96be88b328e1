//! What other servers get to read of a room that their users are in, too.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#retrieving-events)

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{
    event::is_aside,
    pdu::Pdu,
    redact,
    resolve::StateSet,
    room_snapshot::{RoomSnapshot, membership_of},
    room_versions,
    timeline::TimelineEvent,
    visibility::server::{ServerStanding, ServerViewer},
};
use ruma::{EventId, OwnedEventId, ServerName, events::StateEventType};

use super::{
    RoomError, Rooms,
    resident::RoomBefore,
    states::{current_set, slot_of},
};

/// How many events one query fetches by id.
const BATCH: usize = 500;

/// Is a user of this server in the room?
///
/// # Errors
/// 403 where there is none.
pub fn check_is_in(room: &RoomSnapshot, server: &ServerName) -> Result<(), RoomError> {
    if ServerViewer::new(server, room).is_in_room() {
        return Ok(());
    }
    Err(RoomError::Forbidden(
        "Your server is not in the room".to_owned(),
    ))
}

impl Rooms {
    /// The room of an event. One query.
    ///
    /// # Errors
    /// 404 for an event that this server does not have.
    pub async fn room_of_event(&self, event_id: &EventId) -> Result<Arc<RoomSnapshot>, RoomError> {
        let unknown = || RoomError::UnknownEvent(event_id.to_owned());
        let places = self.store().event_places(&[event_id.to_owned()]).await?;
        let place = places.into_iter().flatten().next().ok_or_else(unknown)?;
        self.sync().room(place.room).await?.ok_or_else(unknown)
    }

    /// An event by its id, for a server that is in the room; redacted where it may not see the
    /// event: to come into the room it needs those before, too. Also a soft-failed one, which
    /// others may have built on, and one that is part of an auth chain only. At most four queries.
    ///
    /// # Errors
    /// 404 for an event that the room does not have or that is rejected.
    pub async fn event_for(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        event_id: &EventId,
    ) -> Result<Arc<Pdu>, RoomError> {
        let event = self.kept_event(room, event_id).await?;
        if event.soft_failed {
            return Ok(Arc::clone(&event.pdu));
        }
        let events = [event];
        let seen = self.seen_by(room, server, &events).await?;
        let [event] = events;
        self.form_for_server(room, &event, seen == [true])
    }

    /// Events as a server may have them, in the same order: redacted where it may not see them.
    /// What is rejected, soft-failed or in no timeline is left out.
    pub(super) async fn shown_to(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        events: &[Arc<TimelineEvent>],
    ) -> Result<Vec<Arc<Pdu>>, RoomError> {
        let seen = self.seen_by(room, server, events).await?;
        let mut shown = Vec::with_capacity(events.len());
        for (event, seen) in events.iter().zip(seen) {
            if is_history(event) {
                shown.push(self.form_for_server(room, event, seen)?);
            }
        }
        Ok(shown)
    }

    /// Which of these events a server may see, each in the place of its event. Nothing is read
    /// unless the room's history is only for those who were there, and the server came late.
    pub(super) async fn seen_by(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        events: &[Arc<TimelineEvent>],
    ) -> Result<Vec<bool>, RoomError> {
        let viewer = ServerViewer::new(server, room);
        let undecided = events
            .iter()
            .filter(|event| viewer.sees_at_once(event).is_none());
        let groups: HashSet<i64> = undecided.map(|event| event.group).collect();
        let standings = self.standings(room, &viewer, groups).await?;
        let sees = |event: &Arc<TimelineEvent>| {
            let standing = standings.get(&event.group).copied();
            viewer.sees(event, standing.unwrap_or_default())
        };
        Ok(events.iter().map(sees).collect())
    }

    /// How a server took part in the room, by state group.
    async fn standings(
        &self,
        room: &RoomSnapshot,
        viewer: &ServerViewer<'_>,
        groups: HashSet<i64>,
    ) -> Result<HashMap<i64, ServerStanding>, RoomError> {
        if groups.is_empty() {
            return Ok(HashMap::new());
        }
        let groups: Vec<i64> = groups.into_iter().collect();
        let is_member = |kind: &str, user: &str| kind == "m.room.member" && viewer.has(user);
        let states = self.store().slots_of_groups(room.no, &groups, is_member);
        let states = states.await?;
        let mut members: HashMap<OwnedEventId, Arc<TimelineEvent>> = HashMap::new();
        let mut missing = HashSet::new();
        for ((_, user), event_id) in states.values().flatten() {
            match room.get(&StateEventType::RoomMember, user) {
                Some(held) if held.pdu.event_id() == event_id => {
                    members.insert(event_id.clone(), Arc::clone(held));
                }
                _ => {
                    missing.insert(event_id.clone());
                }
            }
        }
        let missing: Vec<OwnedEventId> = missing.into_iter().collect();
        for ids in missing.chunks(BATCH) {
            for event in self.events_by_id(room, ids).await? {
                members.insert(event.pdu.event_id().to_owned(), event);
            }
        }
        let standing = |ids: &mut dyn Iterator<Item = &OwnedEventId>| {
            ServerStanding::of(ids.filter_map(|id| Some(membership_of(members.get(id)?))))
        };
        let states = states.iter();
        Ok(states
            .map(|(group, state)| (*group, standing(&mut state.values())))
            .collect())
    }

    fn form_for_server(
        &self,
        room: &RoomSnapshot,
        event: &Arc<TimelineEvent>,
        whole: bool,
    ) -> Result<Arc<Pdu>, RoomError> {
        if whole && !self.sync().is_erased(event.pdu.sender()) {
            return Ok(Arc::clone(&event.pdu));
        }
        let rules = room_versions::rules(&room.version)?;
        Ok(redact::redacted_copy(event, rules)?.pdu)
    }

    /// The state before an event, and its auth chain. A few queries, and one for each level of the
    /// chain, as far as that is not part of the current state.
    ///
    /// # Errors
    /// 404 for an event that the room does not have, that is rejected, or before which the state is
    /// not known.
    pub async fn state_for_server(
        &self,
        room: &RoomSnapshot,
        event_id: &EventId,
    ) -> Result<RoomBefore, RoomError> {
        let event = self.kept_event(room, event_id).await?;
        if is_aside(event.pos) || event.group == 0 {
            return Err(RoomError::UnknownEvent(event_id.to_owned()));
        }
        let set = self.set_before(room, &event).await?;
        self.tell(room, &set, &[]).await
    }

    async fn set_before(
        &self,
        room: &RoomSnapshot,
        event: &TimelineEvent,
    ) -> Result<StateSet, RoomError> {
        let own_slot = slot_of(event);
        if own_slot.is_some() {
            let prev = self.events_by_id(room, event.pdu.prev_events()).await?;
            let known = prev.iter().filter(|event| event.group != 0);
            if known.count() == event.pdu.prev_events().len() {
                return self.state_before(room, &event.pdu).await;
            }
        }
        let mut set = if event.group == room.group {
            current_set(room)
        } else {
            self.stored_state(room.no, event.group).await?.set
        };
        // What was before it is not here: it brought its state along.
        if let Some(slot) = own_slot {
            set.remove(&slot);
            if let Some(pos) = event.replaces
                && let Some(replaced) = self.event_at(room, pos).await?
            {
                set.insert(slot, replaced.pdu.event_id().to_owned());
            }
        }
        Ok(set)
    }

    /// The auth chain of an event, without the event. One query for each level of the chain.
    ///
    /// # Errors
    /// 404 for an event that the room does not have or that is rejected.
    pub async fn auth_chain_for_server(
        &self,
        room: &RoomSnapshot,
        event_id: &EventId,
    ) -> Result<Vec<Arc<Pdu>>, RoomError> {
        let event = self.kept_event(room, event_id).await?;
        let chain = self.auth_chain(room, event.pdu.auth_events()).await?;
        Ok(chain.into_values().collect())
    }

    /// An event that is not rejected.
    async fn kept_event(
        &self,
        room: &RoomSnapshot,
        event_id: &EventId,
    ) -> Result<Arc<TimelineEvent>, RoomError> {
        let event = self.event_by_id(room, event_id).await?;
        event
            .filter(|event| !event.rejected)
            .ok_or_else(|| RoomError::UnknownEvent(event_id.to_owned()))
    }
}

/// Is it part of the room's history, as others are told it?
pub(super) fn is_history(event: &TimelineEvent) -> bool {
    event.is_shown() && !is_aside(event.pos)
}
