//! Puts fetched history in its place, judged like every other event.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use matryx_entity::{
    auth,
    event::{EventPointer, Past, is_aside},
    pdu::Pdu,
    redact,
    resolve::StateSet,
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, membership_of, visibility_of},
    room_versions,
    timeline::TimelineEvent,
    verify::Verified,
};
use ruma::{
    OwnedEventId, OwnedUserId,
    events::{
        StateEventType, TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};

use super::{
    Bottom, RoomError, Rooms, in_flight,
    incoming::NotJudged,
    pipeline::{Draft, event_row},
    queue::Head,
    states::{StoredState, slot_of},
};

/// An event of a room's history.
#[derive(Debug)]
pub struct Historic {
    /// The event.
    pub event: Verified,
    /// The state before it as another server told it, where a part of its past is unknown.
    pub told: Option<StateSet>,
}

/// A state in the database, and what counts in it for who may see an event.
#[derive(Clone)]
struct Known {
    state: Arc<StoredState>,
    around: Around,
}

#[derive(Clone)]
struct Around {
    visibility: HistoryVisibility,
    members: HashMap<OwnedUserId, MembershipState>,
}

/// History on its way into a room, the oldest event first.
struct Placing<'a> {
    rooms: &'a Rooms,
    room: RoomSnapshot,
    draft: Draft<'a>,
    /// The states after the events of this history, as long as others of it still stand on them,
    /// and how many do.
    after: HashMap<OwnedEventId, Known>,
    children: HashMap<OwnedEventId, usize>,
    placed: Vec<Arc<TimelineEvent>>,
}

impl Rooms {
    /// Puts events below all others of a stretch of history, the newest first, as far as it has
    /// places. Those that have a place are left out. Whether there was anything to be placed.
    ///
    /// # Errors
    /// The room can't be read or written to, or its history has moved on meanwhile.
    pub async fn place_history(
        &self,
        room: RoomNo,
        bottom: &Bottom,
        history: Vec<Historic>,
    ) -> Result<bool, RoomError> {
        let turn = self.turn(room).await?;
        let Some(head) = turn.clone() else {
            return Err(RoomError::Busy);
        };
        if !in_flight::succeeded(head.outcome.clone()).await
            || self.lowest(&head.snapshot, bottom.stretch).await? != bottom.lowest
        {
            return Err(RoomError::Busy);
        }
        let ids: Vec<OwnedEventId> = history
            .iter()
            .map(|historic| historic.event.event_id().to_owned())
            .collect();
        let places = self.store().event_places(&ids).await?;
        let places: HashMap<OwnedEventId, EventPointer> = places
            .into_iter()
            .flatten()
            .map(|place| (place.event_id.clone(), place))
            .collect();
        let is_new = |historic: &Historic| {
            let place = places.get(historic.event.event_id());
            place.is_none_or(|place| is_aside(place.pos) && place.room == room)
        };
        let highest = bottom.stretch.top();
        let top = bottom.lowest.map_or(highest, |lowest| lowest - 1);
        let free = bottom.stretch.places() - (highest - top);
        let free = usize::try_from(free).unwrap_or_default();
        let history: Vec<Historic> = history.into_iter().filter(is_new).take(free).collect();
        if history.is_empty() {
            return Ok(false);
        }
        let pdus: Vec<Arc<Pdu>> = history
            .iter()
            .map(|historic| historic.event.to_pdu())
            .collect();
        let missing = self.missing_below(&head.snapshot, &bottom.missing, &pdus);
        let missing = missing.await?;
        let mut placing = Placing::new(self, head, &pdus);
        let of_places: Vec<(i64, Historic)> = (0..).map(|nth| top - nth).zip(history).collect();
        // The oldest first: each stands on those before it.
        for (pos, historic) in of_places.into_iter().rev() {
            placing.place(pos, historic).await?;
        }
        let mut draft = placing.draft;
        // The oldest is the lowest.
        let mut below = &*missing;
        for event in &placing.placed {
            draft.plan.create(&event_row(room, event, below));
            below = &[];
            let was_aside = places.contains_key(event.pdu.event_id());
            let pointer = EventPointer {
                event_id: event.pdu.event_id().to_owned(),
                room,
                pos: event.pos,
                was_aside,
            };
            if was_aside {
                draft.plan.put(&pointer);
            } else {
                draft.plan.create(&pointer);
            }
        }
        let landing = draft.take_off();
        draft.commit(turn, landing).await?;
        Ok(true)
    }
}

impl<'a> Placing<'a> {
    fn new(rooms: &'a Rooms, head: Head, history: &[Arc<Pdu>]) -> Self {
        let mut children: HashMap<OwnedEventId, usize> = HashMap::new();
        for id in history.iter().flat_map(|pdu| pdu.prev_events()) {
            *children.entry(id.clone()).or_default() += 1;
        }
        Self {
            rooms,
            room: head.snapshot.clone(),
            draft: Draft::new(rooms, head),
            after: HashMap::new(),
            children,
            placed: Vec::new(),
        }
    }

    /// Judges an event by the state before it and adds it at `pos`.
    async fn place(&mut self, pos: i64, historic: Historic) -> Result<(), RoomError> {
        let Historic { event, told } = historic;
        let pdu = event.to_pdu();
        let before = self.before(pos, &pdu, told).await?;
        let allowed = self.is_allowed(&pdu, &before.state.set).await?;
        let slot = pdu.state_kind().zip(pdu.state_key().map(str::to_owned));
        let mut after = before.clone();
        let mut replaces = None;
        if let Some((kind, key)) = slot.filter(|_| allowed) {
            let slot = (kind, key);
            if let Some(replaced) = before.state.set.get(&slot) {
                replaces = self.place_of(replaced).await?;
            }
            let mut set = before.state.set.clone();
            set.insert(slot, pdu.event_id().to_owned());
            let group = self.draft.write_group(2 * pos, &set, Some(&before.state));
            after.state = Arc::new(group.stored(set));
        }
        let mut placed = TimelineEvent::new(Arc::clone(&pdu), pos, after.state.group, replaces);
        placed.rejected = !allowed;
        if allowed {
            self.change(&mut after.around, &placed);
            self.redact(&placed).await?;
            self.draft.redact_late(&mut placed).await?;
        }
        placed.past = Some(Box::new(past(&before.around, &after.around)));
        if placed.rejected {
            placed.pdu = Arc::new(pdu.to_rejected());
        }
        self.placed.push(Arc::new(placed));
        if self.children.contains_key(pdu.event_id()) {
            self.after.insert(pdu.event_id().to_owned(), after);
        }
        Ok(())
    }

    /// The state before an event: the one that those before it resolve to.
    async fn before(
        &mut self,
        pos: i64,
        pdu: &Pdu,
        told: Option<StateSet>,
    ) -> Result<Known, RoomError> {
        let mut known = Vec::new();
        let mut elsewhere = Vec::new();
        for id in pdu.prev_events() {
            match self.after.get(id) {
                Some(after) => known.push(after.clone()),
                None => elsewhere.push(id.clone()),
            }
            if let Some(count) = self.children.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.after.remove(id);
                }
            }
        }
        for event in self.rooms.events_by_id(&self.room, &elsewhere).await? {
            if event.group != 0 {
                let state = self.rooms.stored_state(self.room.no, event.group).await?;
                known.push(self.known(Arc::new(state)).await?);
            }
        }
        if let ([first, others @ ..], None) = (&*known, &told)
            && others
                .iter()
                .all(|other| other.state.group == first.state.group)
        {
            return Ok(first.clone());
        }
        let states: Vec<StateSet> = known
            .iter()
            .map(|known| known.state.set.clone())
            .chain(told)
            .collect();
        let set = match states.as_slice() {
            [] => StateSet::new(),
            states => self.rooms.resolve(&self.room, states, None).await?,
        };
        let near = known.iter().max_by_key(|known| known.state.group);
        let near = near.map(|near| &*near.state);
        // The number below is free: what stands on this state, and changes it, has the one above.
        let group = self.draft.write_group(2 * pos - 1, &set, near);
        self.known(Arc::new(group.stored(set))).await
    }

    /// A state with what counts in it. At most one query.
    async fn known(&self, state: Arc<StoredState>) -> Result<Known, RoomError> {
        let mut wanted = Vec::new();
        for ((kind, key), id) in &state.set {
            let counts = match kind {
                StateEventType::RoomHistoryVisibility => key.is_empty(),
                StateEventType::RoomMember => self.draft.local_user(key).is_some(),
                _ => false,
            };
            if counts {
                wanted.push(id.clone());
            }
        }
        let mut around = Around {
            visibility: HistoryVisibility::Shared,
            members: HashMap::new(),
        };
        for event in self.rooms.events_by_id(&self.room, &wanted).await? {
            self.change(&mut around, &event);
        }
        Ok(Known { state, around })
    }

    /// What an event changes about who may see what.
    fn change(&self, around: &mut Around, event: &TimelineEvent) {
        match slot_of(event) {
            Some((StateEventType::RoomHistoryVisibility, key)) if key.is_empty() => {
                around.visibility = visibility_of(event);
            }
            Some((StateEventType::RoomMember, key)) => {
                if let Some(user) = self.draft.local_user(&key) {
                    around.members.insert(user, membership_of(event));
                }
            }
            _ => {}
        }
    }

    async fn is_allowed(&self, pdu: &Pdu, before: &StateSet) -> Result<bool, RoomError> {
        let rules = room_versions::rules(&self.room.version)?;
        let named = self
            .rooms
            .events_by_id(&self.room, pdu.auth_events())
            .await?;
        if named.len() < pdu.auth_events().len() {
            return Ok(false);
        }
        let create = self.room.get(&StateEventType::RoomCreate, "");
        let authority: Vec<&Pdu> = named
            .iter()
            .chain(create)
            .map(|event| &*event.pdu)
            .collect();
        if auth::authorize_by_auth_events(rules, pdu, &authority).is_err() {
            return Ok(false);
        }
        let checked = self.rooms.check_by(&self.room, pdu, before, &named);
        match checked.await {
            Ok(allowed) => Ok(allowed.is_ok()),
            Err(NotJudged::Room(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    async fn place_of(&self, id: &OwnedEventId) -> Result<Option<i64>, RoomError> {
        let mut placed = self.placed.iter();
        if let Some(event) = placed.find(|event| event.pdu.event_id() == id) {
            return Ok(Some(event.pos));
        }
        let ids = std::slice::from_ref(id);
        let found = self.rooms.events_by_id(&self.room, ids).await?;
        Ok(found.first().map(|event| event.pos))
    }

    /// Takes the content of the event that another one redacts, in this history or elsewhere.
    async fn redact(&mut self, redaction: &TimelineEvent) -> Result<(), RoomError> {
        if *redaction.pdu.kind() != TimelineEventType::RoomRedaction {
            return Ok(());
        }
        let in_history = redaction.pdu.redacts().is_some_and(|id| {
            let mut placed = self.placed.iter();
            placed.any(|event| event.pdu.event_id() == id)
        });
        if !in_history {
            let (pdu, pos) = (&redaction.pdu, redaction.pos);
            if let Some(redacted) = self.draft.redact_target(pdu, pos).await? {
                self.draft.write_redacted(redacted);
            }
            return Ok(());
        }
        let (room, rules) = (&self.room, room_versions::rules(&self.room.version)?);
        let target = self.placed.iter_mut().find(|event| {
            event.redacted_by.is_none() && redact::may_redact(&redaction.pdu, &event.pdu, room)
        });
        if let Some(target) = target {
            let mut row = event_row(room.no, target, &[]);
            row.json = redact::redacted_json(&row.json, rules)?;
            row.redacted_by = Some(redaction.pos);
            *target = TimelineEvent::from_row(row, &room.room_id)?;
        }
        Ok(())
    }
}

/// What is remembered of the time around an event: only of users who were not simply outside.
fn past(before: &Around, after: &Around) -> Past {
    let held = |around: &Around, user: &OwnedUserId| {
        let membership = around.members.get(user);
        membership.cloned().unwrap_or(MembershipState::Leave)
    };
    let users: BTreeSet<&OwnedUserId> = before.members.keys().chain(after.members.keys()).collect();
    let outside = [MembershipState::Leave, MembershipState::Leave];
    let members = users
        .into_iter()
        .map(|user| (user.clone(), [held(before, user), held(after, user)]))
        .filter(|(_, held)| *held != outside);
    Past {
        visibility: [before.visibility.clone(), after.visibility.clone()],
        members: members.collect(),
    }
}
