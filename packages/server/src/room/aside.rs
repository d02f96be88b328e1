//! Events that are kept without a place in the timeline: what another server says that a state or
//! an auth chain is made of.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{
    auth, pdu::Pdu, room_no::RoomNo, room_snapshot::RoomSnapshot, room_versions, verify::Verified,
};
use ruma::{
    OwnedEventId,
    events::{StateEventType, TimelineEventType},
};

use super::{
    RoomError, Rooms, in_flight,
    incoming::NotJudged,
    pipeline::Draft,
    queue::{Head, Turn},
};

/// How many events one query fetches by id, and one commit keeps: others write in between.
const BATCH: usize = 500;

/// What is known while events are kept, one batch after the other.
#[derive(Default)]
struct Known {
    events: HashMap<OwnedEventId, Arc<Pdu>>,
    /// The room's create event, which all others rest on; from version 12 on they do not name it.
    create: Option<Arc<Pdu>>,
    /// Events that were named as an authority, and are nowhere.
    holes: Vec<OwnedEventId>,
}

impl Rooms {
    /// Keeps events aside, each judged by the events that it names as its authority: those that
    /// these do not allow are kept as rejected. One commit for each [`BATCH`] of events, whatever
    /// the room does meanwhile.
    ///
    /// # Errors
    /// [`NotJudged::AuthEvents`] where some name events that are not known: these are left out,
    /// and all others are kept.
    pub async fn keep_aside(&self, room: RoomNo, events: Vec<Verified>) -> Result<(), NotJudged> {
        let mut known = Known::default();
        let mut waiting = in_order(events).into_iter().peekable();
        while waiting.peek().is_some() {
            let batch: Vec<Verified> = waiting.by_ref().take(BATCH).collect();
            let turn = self.turn(room).await?;
            let Some(head) = turn.clone() else {
                return Err(RoomError::Busy.into());
            };
            if !in_flight::succeeded(head.outcome.clone()).await {
                return Err(RoomError::Busy.into());
            }
            self.keep_batch(turn, head, batch, &mut known).await?;
        }
        if known.holes.is_empty() {
            Ok(())
        } else {
            Err(NotJudged::AuthEvents(known.holes))
        }
    }

    async fn keep_batch(
        &self,
        turn: Turn,
        head: Head,
        batch: Vec<Verified>,
        known: &mut Known,
    ) -> Result<(), NotJudged> {
        let snapshot = head.snapshot.clone();
        let rules = room_versions::rules(&snapshot.version).map_err(RoomError::from)?;
        self.look_up(&snapshot, &batch, known).await?;
        let mut draft = Draft::new(self, head);
        for event in batch {
            if known.events.contains_key(event.event_id()) || *event.room_id() != *snapshot.room_id
            {
                continue;
            }
            let mut named: Vec<&Pdu> = Vec::with_capacity(event.auth_events().len() + 1);
            let mut unknown = Vec::new();
            for id in event.auth_events() {
                match known.events.get(id) {
                    Some(pdu) => named.push(pdu),
                    None => unknown.push(id.clone()),
                }
            }
            if !unknown.is_empty() {
                known.holes.extend(unknown);
                continue;
            }
            named.extend(known.create.as_deref());
            let allowed = auth::authorize_by_auth_events(rules, &event, &named);
            let pdu = match allowed {
                Ok(()) => event.to_pdu(),
                Err(_) => Arc::new(event.to_rejected()),
            };
            draft.put_aside(Arc::clone(&pdu), pdu.rejected(), 0);
            if *pdu.kind() == TimelineEventType::RoomCreate && !pdu.rejected() {
                known.create.get_or_insert_with(|| Arc::clone(&pdu));
            }
            known.events.insert(pdu.event_id().to_owned(), pdu);
        }
        let landing = draft.take_off();
        draft.commit(turn, landing).await?;
        Ok(())
    }

    /// What is here already of a batch and its authority.
    async fn look_up(
        &self,
        room: &RoomSnapshot,
        batch: &[Verified],
        known: &mut Known,
    ) -> Result<(), RoomError> {
        if known.create.is_none() {
            let create = room.get(&StateEventType::RoomCreate, "");
            known.create = create.map(|create| Arc::clone(&create.pdu));
        }
        let ids: Vec<OwnedEventId> = batch
            .iter()
            .flat_map(|event| {
                let authority = event.auth_events().iter().cloned();
                authority.chain([event.event_id().to_owned()])
            })
            .filter(|id| !known.events.contains_key(id))
            .collect::<HashSet<_>>()
            .into_iter()
            .collect();
        for ids in ids.chunks(BATCH) {
            for event in self.events_by_id(room, ids).await? {
                let id = event.pdu.event_id().to_owned();
                known.events.insert(id, Arc::clone(&event.pdu));
            }
        }
        Ok(())
    }
}

/// The events in an order in which each comes after those that it names as its authority, as far
/// as they are among them; the create event, which all rest on, before all others.
fn in_order(events: Vec<Verified>) -> Vec<Verified> {
    let mut waiting: HashMap<OwnedEventId, Verified> = events
        .into_iter()
        .map(|event| (event.event_id().to_owned(), event))
        .collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    let is_create = |event: &Verified| *event.kind() == TimelineEventType::RoomCreate;
    let (creates, others): (Vec<&Verified>, Vec<&Verified>) =
        waiting.values().partition(|event| is_create(event));
    let ids = creates.into_iter().chain(others);
    let ids: Vec<OwnedEventId> = ids.map(|event| event.event_id().to_owned()).collect();
    for id in ids {
        // Depth first, without recursion: an event goes out once nothing that it names waits.
        let mut path = vec![id];
        while let Some(id) = path.last() {
            let Some(event) = waiting.get(id) else {
                path.pop();
                continue;
            };
            let mut named = event.auth_events().iter();
            // An id is a hash of what it names: there are no circles.
            let next = named.find(|named| waiting.contains_key(*named));
            if let Some(next) = next.cloned() {
                path.push(next);
            } else {
                let done = path.pop().and_then(|id| waiting.remove(&id));
                ordered.extend(done);
            }
        }
    }
    ordered
}
