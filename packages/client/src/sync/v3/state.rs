//! The `state` or `state_after` of one room: what the client needs to know the room's state,
//! beside what it has and what the timeline tells.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{
    filter_match::passes_event, key, room_no::RoomNo, room_snapshot::RoomSnapshot, state::StateRow,
    timeline::TimelineEvent, token::SyncToken,
};
use matryx_surrealdb::KeyRange;
use ruma::{OwnedUserId, events::StateEventType};

use super::{lazy::LazyMembers, timeline::Found, view::View};
use crate::sync::error::SyncError;

/// How much of the state is wanted.
#[derive(Clone, Copy)]
pub(super) enum Extent<'a> {
    /// All of it.
    Full,
    /// The slots that changed after a moment.
    Since(&'a SyncToken),
}

/// Whose state, and around which timeline.
pub(super) struct StateRequest<'a> {
    pub(super) room: &'a RoomSnapshot,
    /// The state at the end of the timeline: the room itself, or the room when the user left.
    pub(super) held: &'a RoomSnapshot,
    pub(super) found: &'a Found,
    pub(super) extent: Extent<'a>,
    /// Members that the summary names.
    pub(super) heroes: &'a [OwnedUserId],
}

type Slot = (StateEventType, String);

impl View<'_> {
    /// The state events, oldest first.
    pub(super) async fn state(
        &self,
        request: &StateRequest<'_>,
        members: &mut LazyMembers,
    ) -> Result<Vec<Arc<TimelineEvent>>, SyncError> {
        let found = request.found;
        let needed = members.needed(self, found, request.heroes);
        let mut chosen = match request.extent {
            Extent::Full => all_slots(request, needed.as_ref()),
            Extent::Since(since) => {
                let slots = self.changed_slots(request, since).await?;
                holders(request, slots, |user| {
                    needed.as_ref().is_none_or(|needed| needed.contains(user))
                        || members.knows(request.room.no, user)
                })
            }
        };
        if let (Some(needed), Extent::Since(_)) = (&needed, request.extent) {
            for user in needed {
                let holder = request.held.get(&StateEventType::RoomMember, user.as_str());
                let unsent =
                    |event: &&Arc<TimelineEvent>| !members.has_sent(request.room.no, user, event);
                chosen.extend(holder.filter(unsent).cloned());
            }
        }
        if !self.request.use_state_after {
            let earlier = self.earlier_holders(request, needed.as_ref()).await?;
            chosen.retain(|event| !found.has(event.pos));
            chosen.extend(earlier);
        }
        chosen.retain(|event| self.covers(event));
        chosen.retain(|event| passes_event(&self.filter().room.state, event));
        chosen.sort_by(|left, right| {
            let id = |event: &TimelineEvent| event.pdu.event_id().to_owned();
            left.pos
                .cmp(&right.pos)
                .then_with(|| id(left).cmp(&id(right)))
        });
        chosen.dedup_by(|left, right| left.pdu.event_id() == right.pdu.event_id());
        for event in chosen.iter().chain(&found.events) {
            members.note(request.room.no, event);
        }
        Ok(chosen)
    }

    /// Is it part of this moment? What is newer comes with the next response.
    fn covers(&self, event: &TimelineEvent) -> bool {
        self.now.covers(event.at())
    }

    /// The slots that changed hands within the window.
    async fn changed_slots(
        &self,
        request: &StateRequest<'_>,
        since: &SyncToken,
    ) -> Result<HashSet<Slot>, SyncError> {
        let mut slots = HashSet::new();
        if request.found.whole {
            for event in &request.found.window {
                note_changes(event, &mut slots);
            }
            return Ok(slots);
        }
        // The client is far behind: every slot whose holder is new, and those that state
        // resolution gave back to an old event within the window.
        for event in request.held.state() {
            if !since.covers(event.at())
                && let Some(slot) = slot_of(event)
            {
                slots.insert(slot);
            }
        }
        let resolved = self.resolved_slots(request.room.no).await?;
        let places: Vec<i64> = resolved.iter().map(|(_, place)| *place).collect();
        let causes = self.engine.events_at(request.room, &places).await?;
        for (slot, place) in resolved {
            if causes
                .get(&place)
                .is_some_and(|cause| !since.covers(cause.at()))
            {
                slots.insert(slot);
            }
        }
        Ok(slots)
    }

    /// The slots that are held since another event than the holder, and the place of that one.
    async fn resolved_slots(&self, room: RoomNo) -> Result<Vec<(Slot, i64)>, SyncError> {
        let range = KeyRange::prefix(&key![room]);
        let rows: Vec<StateRow> = self.inner().store.range(range).await?;
        let resolved = rows.into_iter().filter(|row| row.since != row.pos);
        Ok(resolved
            .map(|row| ((StateEventType::from(row.kind), row.state_key), row.since))
            .collect())
    }

    /// The events that held the slots of the timeline's state events before the timeline began, as
    /// far as the client cannot have them.
    async fn earlier_holders(
        &self,
        request: &StateRequest<'_>,
        needed: Option<&BTreeSet<OwnedUserId>>,
    ) -> Result<Vec<Arc<TimelineEvent>>, SyncError> {
        let found = request.found;
        let mut first_of = HashMap::new();
        for event in &found.events {
            if let Some(slot) = slot_of(event) {
                first_of.entry(slot).or_insert(event);
            }
        }
        let oldest = found.window.first().map_or(i64::MAX, |event| event.pos);
        let mut places = Vec::new();
        for ((kind, key), event) in first_of {
            let Some(place) = event.replaces.filter(|place| !found.has(*place)) else {
                continue;
            };
            let is_needed = needed.is_none_or(|needed| {
                kind != StateEventType::RoomMember || needed.iter().any(|user| user.as_str() == key)
            });
            // What is older than the window the client has, unless members are loaded lazily.
            let is_known = matches!(request.extent, Extent::Since(_))
                && found.whole
                && place < oldest
                && (needed.is_none() || kind != StateEventType::RoomMember);
            if is_needed && !is_known {
                places.push(place);
            }
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut earlier = self.engine.events_at(request.room, &places).await?;
        if let Extent::Since(since) = request.extent {
            earlier.retain(|_, event| {
                needed.is_some() && event.pdu.state_kind() == Some(StateEventType::RoomMember)
                    || !since.covers(event.at())
            });
        }
        Ok(earlier.into_values().collect())
    }
}

fn all_slots(
    request: &StateRequest<'_>,
    needed: Option<&BTreeSet<OwnedUserId>>,
) -> Vec<Arc<TimelineEvent>> {
    let Some(needed) = needed else {
        return request.held.state().cloned().collect();
    };
    let mut chosen = Vec::new();
    for (kind, slots) in request.held.slots_by_kind() {
        if *kind == StateEventType::RoomMember {
            let members = needed.iter().filter_map(|user| slots.get(user.as_str()));
            chosen.extend(members.cloned());
        } else {
            chosen.extend(slots.values().cloned());
        }
    }
    chosen
}

/// The events that hold some slots at the end of the timeline.
fn holders(
    request: &StateRequest<'_>,
    slots: HashSet<Slot>,
    wants_member: impl Fn(&OwnedUserId) -> bool,
) -> Vec<Arc<TimelineEvent>> {
    let wanted = slots.into_iter().filter(|(kind, key)| {
        *kind != StateEventType::RoomMember
            || OwnedUserId::try_from(key.as_str()).is_ok_and(|user| wants_member(&user))
    });
    wanted
        .filter_map(|(kind, key)| request.held.get(&kind, &key).cloned())
        .collect()
}

fn slot_of(event: &TimelineEvent) -> Option<Slot> {
    let key = event.pdu.state_key()?;
    Some((event.pdu.state_kind()?, key.to_owned()))
}

/// The slots that one event changed.
fn note_changes(event: &TimelineEvent, slots: &mut HashSet<Slot>) {
    match &event.delta {
        None => slots.extend(slot_of(event)),
        Some(delta) => slots.extend(delta.iter().map(|change| {
            let kind = StateEventType::from(change.kind.as_str());
            (kind, change.state_key.clone())
        })),
    }
}
