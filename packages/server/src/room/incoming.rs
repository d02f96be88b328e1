//! Events of other servers: judged by the checks on receipt, and put in their place.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu)
//!
//! Signature and hash are checked before: only a [`Verified`] event gets here. What is missing to
//! judge an event is the caller's to fetch; nothing here waits for another server, but for a room's
//! policy server, before the room's turn.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{
    auth::{self, AuthError},
    log::{ClientTransaction, LogEntry},
    pdu::Pdu,
    policy::Policy,
    resolve::StateSet,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    room_versions,
    timeline::TimelineEvent,
    verify::Verified,
};
use matryx_surrealdb::StoreError;
use ruma::{
    OwnedEventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};

use super::{
    RoomError, Rooms,
    apart::Standing,
    in_flight,
    pipeline::Draft,
    queue::{Head, Turn},
    states::{StoredState, current_set},
};

/// How often an event is judged anew because the room moved on meanwhile.
const MAX_TRIES: u32 = 16;

/// What became of an event.
#[derive(Debug)]
pub enum Judged {
    /// It is part of the room.
    Accepted,
    /// It is allowed at its place but not by the current state: kept, and shown to nobody.
    SoftFailed(AuthError),
    /// It is not allowed at its place: kept, and part of nothing.
    Rejected(AuthError),
    /// It was here already.
    Known,
}

/// How an event came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It was built here; with what makes a retry of the client the same request.
    Built(Option<ClientTransaction>),
    /// Its server, or another, sends it to all who are in the room.
    Sent,
    /// Its server gave it to this one, which lets it in.
    Handshake,
}

impl Way {
    /// What makes a retry of the client the same request.
    pub(super) fn txn(&self) -> Option<ClientTransaction> {
        match self {
            Self::Built(txn) => txn.clone(),
            Self::Sent | Self::Handshake => None,
        }
    }
}

impl Draft<'_> {
    /// Notes that the event at a place is for this server to tell the others of.
    fn note_way(&mut self, pos: i64) {
        if self.way == Way::Handshake {
            let room = self.head.snapshot.no;
            self.plan.log(LogEntry::Forward { room, pos });
        }
    }
}

/// Why an event can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum NotJudged {
    /// Events before it are unknown, and so is the state before it.
    #[error("events before it are unknown")]
    PrevEvents(Vec<OwnedEventId>),
    /// Events that it names as its authority are unknown.
    #[error("auth events are unknown")]
    AuthEvents(Vec<OwnedEventId>),
    /// It is of another room.
    #[error("it belongs to another room")]
    OtherRoom,
    /// The room can't be read or written to.
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<StoreError> for NotJudged {
    fn from(error: StoreError) -> Self {
        Self::Room(error.into())
    }
}

/// The state before an event, and a stored one near it.
struct Before {
    set: StateSet,
    near: Option<StoredState>,
}

impl Rooms {
    /// Judges an event of another server, or one that others have already, and puts it in its place.
    ///
    /// `state_before` is the state before the event as another server told it, for an event whose
    /// own past is unknown here; all its events must have been kept aside.
    ///
    /// # Errors
    /// Something is missing to judge it, or the room can't be written to.
    pub async fn receive(
        &self,
        room: RoomNo,
        event: Verified,
        state_before: Option<StateSet>,
    ) -> Result<Judged, NotJudged> {
        let judged = self.take_in(room, event.to_pdu(), state_before, Way::Sent);
        judged.await.map(|(judged, _)| judged)
    }

    /// Judges an event that was built here and countersigned elsewhere, and puts it in its place; the
    /// other servers of the room hear of it from this one.
    ///
    /// # Errors
    /// As [`Rooms::receive`].
    pub(super) async fn receive_back(
        &self,
        room: RoomNo,
        event: Verified,
    ) -> Result<Judged, NotJudged> {
        let judged = self.take_in(room, event.to_pdu(), None, Way::Built(None));
        judged.await.map(|(judged, _)| judged)
    }

    /// Judges an event that a server gave to this one alone, and puts it in its place; the other
    /// servers of the room hear of it from this one. Also gives the event as it is kept: with the
    /// signature of the room's policy server.
    ///
    /// # Errors
    /// As [`Rooms::receive`].
    pub async fn receive_handshake(
        &self,
        room: RoomNo,
        event: Verified,
    ) -> Result<(Judged, Arc<Pdu>), NotJudged> {
        self.take_in(room, event.to_pdu(), None, Way::Handshake)
            .await
    }

    pub(super) async fn take_in(
        &self,
        room: RoomNo,
        mut pdu: Arc<Pdu>,
        state_before: Option<StateSet>,
        way: Way,
    ) -> Result<(Judged, Arc<Pdu>), NotJudged> {
        let snapshot = self.sync().room(room).await.map_err(RoomError::from)?;
        if let Some(snapshot) = snapshot {
            pdu = self.recommended(&snapshot, pdu).await;
        }
        for _ in 0..MAX_TRIES {
            let turn = self.turn(room).await?;
            let Some(head) = turn.clone() else { continue };
            match self
                .judge(turn, head, &pdu, state_before.as_ref(), &way)
                .await
            {
                Err(NotJudged::Room(RoomError::Store(
                    StoreError::Conflict { .. } | StoreError::Exists { .. },
                ))) => {}
                judged => return judged.map(|judged| (judged, pdu)),
            }
        }
        Err(RoomError::Busy.into())
    }

    async fn judge(
        &self,
        turn: Turn,
        head: Head,
        pdu: &Arc<Pdu>,
        state_before: Option<&StateSet>,
        way: &Way,
    ) -> Result<Judged, NotJudged> {
        let snapshot = head.snapshot.clone();
        if *pdu.room_id() != *snapshot.room_id {
            return Err(NotJudged::OtherRoom);
        }
        let room = snapshot.no;
        let is_recent = |event: &Arc<TimelineEvent>| event.pdu.event_id() == pdu.event_id();
        if snapshot.recent.iter().any(is_recent) {
            return self.known(turn, head).await;
        }
        let known = self.event_in(snapshot.no, pdu.event_id()).await?;
        let was_aside = match known {
            Some((row, _)) if row.rejected || !matryx_entity::event::is_aside(row.pos) => {
                return self.known(turn, head).await;
            }
            known => known.is_some(),
        };
        let rules = room_versions::rules(&snapshot.version).map_err(RoomError::from)?;
        let by_policy = check_policy(pdu, &snapshot);
        let stands_on_head =
            state_before.is_none() && by_policy.is_ok() && stands_on_head(pdu, &snapshot);
        let known_here = stands_on_head && auth_events_of_head(pdu, &snapshot).is_some();
        if !known_here && !in_flight::succeeded(head.outcome.clone()).await {
            // What the head stands on did not happen.
            return Err(StoreError::Conflict { room }.into());
        }
        let auth_events = self.auth_events(pdu, &snapshot).await?;
        let by_auth_events = check_authority(pdu, &auth_events, &snapshot, rules);

        let mut draft = Draft::new(self, head);
        draft.way = way.clone();
        if stands_on_head {
            let allowed =
                by_auth_events.and_then(|()| auth::authorize_against(rules, pdu, &snapshot));
            let judged = match allowed {
                Ok(()) => {
                    let event = draft.append(Arc::clone(pdu), way.txn(), was_aside);
                    let pos = event.await?.pos;
                    draft.note_way(pos);
                    Judged::Accepted
                }
                Err(reason) => {
                    draft.put_aside(Arc::clone(pdu), true, snapshot.group);
                    Judged::Rejected(reason)
                }
            };
            return self.settle(turn, draft, judged).await;
        }
        let before = self.before(&snapshot, &draft, pdu, state_before).await?;
        let allowed = match by_auth_events {
            Ok(()) => {
                self.check_by(&snapshot, pdu, &before.set, &auth_events)
                    .await?
            }
            refused => refused,
        };
        if let Err(reason) = allowed {
            draft.reject(Arc::clone(pdu), &before.set, before.near.as_ref());
            return self.settle(turn, draft, Judged::Rejected(reason)).await;
        }
        let allowed_now = auth::authorize_against(rules, pdu, &snapshot).and(by_policy);
        let judged = allowed_now.map_or_else(Judged::SoftFailed, |()| Judged::Accepted);
        if matches!((&judged, way), (Judged::SoftFailed(_), Way::Built(_))) {
            // Of an event of ours nobody else knows yet.
            return Ok(judged);
        }
        let standing = Standing {
            before: before.set,
            near: before.near,
            soft_failed: matches!(judged, Judged::SoftFailed(_)),
            was_aside,
            seam: match state_before {
                Some(_) => self.leap_before(&snapshot, pdu).await?,
                None => None,
            },
        };
        let event = draft.append_apart(Arc::clone(pdu), standing).await?;
        if matches!(judged, Judged::Accepted) {
            draft.note_way(event.pos);
        }
        self.settle(turn, draft, judged).await
    }

    /// Says that an event is here once that is true after a crash as well.
    async fn known(&self, turn: Turn, head: Head) -> Result<Judged, NotJudged> {
        drop(turn);
        let room = head.snapshot.no;
        if in_flight::succeeded(head.outcome).await {
            Ok(Judged::Known)
        } else {
            Err(StoreError::Conflict { room }.into())
        }
    }

    async fn settle(
        &self,
        turn: Turn,
        mut draft: Draft<'_>,
        judged: Judged,
    ) -> Result<Judged, NotJudged> {
        let landing = draft.take_off();
        draft.commit(turn, landing).await?;
        Ok(judged)
    }

    /// The events that an event names as its authority. One query, none if the current state holds
    /// them all.
    async fn auth_events(
        &self,
        pdu: &Pdu,
        room: &RoomSnapshot,
    ) -> Result<Vec<Arc<TimelineEvent>>, NotJudged> {
        if let Some(held) = auth_events_of_head(pdu, room) {
            return Ok(held);
        }
        let found = self.events_by_id(room, pdu.auth_events()).await?;
        let known: HashSet<_> = found.iter().map(|event| event.pdu.event_id()).collect();
        let unknown: Vec<OwnedEventId> = pdu
            .auth_events()
            .iter()
            .filter(|id| !known.contains(&***id))
            .cloned()
            .collect();
        if unknown.is_empty() {
            Ok(found)
        } else {
            Err(NotJudged::AuthEvents(unknown))
        }
    }

    /// The state before an event whose past is known.
    pub(super) async fn state_before(
        &self,
        room: &RoomSnapshot,
        pdu: &Pdu,
    ) -> Result<StateSet, RoomError> {
        let found = self.events_by_id(room, pdu.prev_events()).await?;
        let groups: HashSet<i64> = found.iter().map(|event| event.group).collect();
        let mut states = Vec::with_capacity(groups.len());
        for group in groups {
            states.push(if group == room.group {
                current_set(room)
            } else {
                self.stored_state(room.no, group).await?.set
            });
        }
        match states.as_slice() {
            [] => Ok(StateSet::new()),
            states => self.resolve(room, states, None).await,
        }
    }

    /// The state before an event: the one that those before it resolve to.
    async fn before(
        &self,
        room: &RoomSnapshot,
        draft: &Draft<'_>,
        pdu: &Pdu,
        told: Option<&StateSet>,
    ) -> Result<Before, NotJudged> {
        if let Some(set) = told {
            return Ok(Before {
                set: set.clone(),
                near: None,
            });
        }
        let found = self.events_by_id(room, pdu.prev_events()).await?;
        let known: HashMap<_, _> = found
            .iter()
            .map(|event| (event.pdu.event_id(), event))
            .collect();
        // What lies aside without a state group is known to exist, and no more.
        let unknown: Vec<OwnedEventId> = pdu
            .prev_events()
            .iter()
            .filter(|id| known.get(&***id).is_none_or(|event| event.group == 0))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(NotJudged::PrevEvents(unknown));
        }
        let groups: HashSet<i64> = found.iter().map(|event| event.group).collect();
        let mut stored = Vec::with_capacity(groups.len());
        for group in groups {
            stored.push(if group == room.group {
                StoredState {
                    group,
                    chain: self.chain_of(&draft.head).await?,
                    set: current_set(room),
                }
            } else {
                self.stored_state(room.no, group).await?
            });
        }
        let states: Vec<StateSet> = stored.iter().map(|stored| stored.set.clone()).collect();
        let set = match states.as_slice() {
            [] => StateSet::new(),
            states => self.resolve(room, states, None).await?,
        };
        let near = stored.into_iter().max_by_key(|stored| stored.group);
        Ok(Before { set, near })
    }

    /// Is an event allowed by a state? At most one query.
    pub(super) async fn check_by(
        &self,
        room: &RoomSnapshot,
        pdu: &Pdu,
        state: &StateSet,
        known: &[Arc<TimelineEvent>],
    ) -> Result<Result<(), AuthError>, NotJudged> {
        if *pdu.kind() == TimelineEventType::RoomCreate {
            return Ok(Ok(()));
        }
        let rules = room_versions::rules(&room.version).map_err(RoomError::from)?;
        let slots = match auth::auth_slots(rules, pdu) {
            Ok(slots) => slots,
            Err(reason) => return Ok(Err(reason)),
        };
        let create = (StateEventType::RoomCreate, String::new());
        let wanted: Vec<&OwnedEventId> = slots
            .iter()
            .chain([&create])
            .filter_map(|slot| state.get(slot))
            .collect();
        let mut events: Vec<Arc<TimelineEvent>> = known.to_vec();
        events.extend(slots.iter().chain([&create]).filter_map(|(kind, key)| {
            let held = room.get(kind, key)?;
            Some(Arc::clone(held))
        }));
        let missing: Vec<OwnedEventId> = wanted
            .iter()
            .filter(|id| events.iter().all(|event| event.pdu.event_id() != ***id))
            .map(|id| (*id).clone())
            .collect();
        events.extend(self.events_by_id(room, &missing).await?);
        Ok(auth::check_state(rules, pdu, |kind, state_key| {
            let id = state.get(&(kind.clone(), state_key.to_owned()))?;
            let mut events = events.iter();
            let event = events.find(|event| event.pdu.event_id() == id)?;
            Some(&*event.pdu)
        }))
    }
}

/// Has the room's policy server signed an event, if there is one?
fn check_policy(pdu: &Pdu, room: &RoomSnapshot) -> Result<(), AuthError> {
    let policy = Policy::of(room).map(|policy| policy.check(pdu, room));
    policy.unwrap_or(Ok(())).map_err(AuthError::from)
}

/// Is an event allowed by those that it names? A room has one create event: by the auth rules
/// alone, the server that the id of a room names could make another.
fn check_authority(
    pdu: &Pdu,
    named: &[Arc<TimelineEvent>],
    room: &RoomSnapshot,
    rules: &RoomVersionRules,
) -> Result<(), AuthError> {
    let create = room.get(&StateEventType::RoomCreate, "");
    if *pdu.kind() == TimelineEventType::RoomCreate && create.is_some() {
        return Err("the room has a create event".to_owned().into());
    }
    let named = named.iter().chain(create);
    let named: Vec<&Pdu> = named.map(|event| &*event.pdu).collect();
    auth::authorize_by_auth_events(rules, pdu, &named)
}

/// The events that an event names as its authority, as far as the current state holds them
/// all.
fn auth_events_of_head(pdu: &Pdu, room: &RoomSnapshot) -> Option<Vec<Arc<TimelineEvent>>> {
    let rules = room_versions::rules(&room.version).ok()?;
    let slots = auth::auth_slots(rules, pdu).ok()?;
    let held: Vec<_> = slots
        .iter()
        .filter_map(|(kind, state_key)| room.get(kind, state_key))
        .collect();
    let named = pdu.auth_events().iter();
    named
        .map(|id| {
            let mut held = held.iter();
            held.find(|event| event.pdu.event_id() == id)
                .map(|event| Arc::clone(event))
        })
        .collect()
}

/// Does an event refer to exactly the room's forward extremities?
fn stands_on_head(pdu: &Pdu, room: &RoomSnapshot) -> bool {
    let prev: HashSet<_> = pdu.prev_events().iter().collect();
    !prev.is_empty()
        && prev.len() == room.extremities.len()
        && room.extremities.iter().all(|id| prev.contains(id))
}
