//! The state before an event whose past is unknown here, and the events that others rest on.

use std::collections::HashSet;

use matryx_client::outbound::Limits;
use matryx_entity::{pdu::Pdu, resolve::StateSet, room_snapshot::RoomSnapshot, verify::Verified};
use ruma::{
    EventId, OwnedEventId, OwnedServerName, ServerName,
    api::federation::{
        authorization::get_event_authorization::v1::Request as AuthRequest,
        event::{
            get_room_state::v1::Request as StateRequest,
            get_room_state_ids::v1::Request as StateIdsRequest,
        },
    },
};
use std::time::Duration;

use super::{Fetch, FetchError, LIMITS};
use crate::room::{NotJudged, Rooms};

/// The most events of a state, and the most of its auth chain, that are taken from another server.
const MAX_STATE: usize = 50_000;

/// Up to so many missing events are asked for one by one; beyond, the whole state is.
const MAX_SINGLE: usize = 50;

/// The most events of an event's auth chain that are taken from another server.
const MAX_CHAIN: usize = 5_000;

/// How often holes in an auth chain are filled by asking for single events, each time those that
/// the last ones rest on; and how many events that takes at most.
const MAX_LEVELS: usize = 8;
const MAX_FILLED: usize = 200;

/// The bounds of an answer with a whole state.
const STATE_LIMITS: Limits = Limits {
    time: Duration::from_mins(1),
    body: 64 << 20,
};

impl Fetch {
    /// The state before an event as one of these servers tells it, resolved with what is known
    /// here. All its events are kept.
    pub(super) async fn state_before(
        &self,
        room: &RoomSnapshot,
        servers: &[OwnedServerName],
        pdu: &Pdu,
    ) -> Result<StateSet, FetchError> {
        let mut last = FetchError::Nobody;
        for server in servers {
            match self.state_of_server(room, server, pdu.event_id()).await {
                Ok(told) => return Ok(self.rooms.state_with(room, pdu, told).await?),
                Err(FetchError::Room(error)) => return Err(error.into()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The state before an event as one server tells it. All its events are kept.
    pub(super) async fn state_of_server(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        event_id: &EventId,
    ) -> Result<StateSet, FetchError> {
        let request = StateIdsRequest::new(event_id.to_owned(), room.room_id.clone());
        let told = self.federation.send_with(server, request, LIMITS).await?;
        if told.pdu_ids.len() > MAX_STATE || told.auth_chain_ids.len() > MAX_STATE {
            return Err(FetchError::Useless("the state is too large"));
        }
        let mut ids = told.auth_chain_ids;
        ids.extend(told.pdu_ids.iter().cloned());
        ids.sort_unstable();
        ids.dedup();
        let missing = self.rooms.unknown(room, &ids).await?;
        if missing.len() > MAX_SINGLE {
            self.learn_state(room, server, event_id, &missing).await?;
        } else if !missing.is_empty() {
            self.learn(room, server, missing, Vec::new()).await?;
        }
        let set = self.rooms.state_of(room, &told.pdu_ids).await?;
        if Rooms::has_create(&set) {
            Ok(set)
        } else {
            Err(FetchError::Useless("the state has no create event"))
        }
    }

    /// Keeps the `missing` events out of the whole state before an event.
    async fn learn_state(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        event_id: &EventId,
        missing: &[OwnedEventId],
    ) -> Result<(), FetchError> {
        let request = StateRequest::new(event_id.to_owned(), room.room_id.clone());
        let (mut told, _claim) = self
            .federation
            .send_large(server, request, STATE_LIMITS)
            .await?;
        let mut pdus = std::mem::take(&mut told.auth_chain);
        pdus.append(&mut told.pdus);
        let missing: HashSet<&EventId> = missing.iter().map(AsRef::as_ref).collect();
        let mut events = self.believed(room, &pdus, 2 * MAX_STATE).await;
        events.retain(|event| missing.contains(event.event_id()));
        match self.rooms.keep_aside(room.no, events).await {
            // What stands on a hole is not kept, and so is no part of the state.
            Ok(()) | Err(NotJudged::AuthEvents(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the events that an event names as its authority, and all that those rest on.
    pub(super) async fn learn_authority(
        &self,
        room: &RoomSnapshot,
        servers: &[OwnedServerName],
        event_id: &EventId,
        missing: Vec<OwnedEventId>,
    ) -> Result<(), FetchError> {
        let mut last = FetchError::Nobody;
        for server in servers {
            let request = AuthRequest::new(room.room_id.clone(), event_id.to_owned());
            let chain = match self.federation.send_with(server, request, LIMITS).await {
                Ok(answer) => self.believed(room, &answer.auth_chain, MAX_CHAIN).await,
                Err(error) if error.is_transient() => {
                    last = error.into();
                    continue;
                }
                Err(_) => Vec::new(),
            };
            let told: HashSet<&EventId> = chain.iter().map(|event| event.event_id()).collect();
            let holes = missing.iter().filter(|id| !told.contains(&***id));
            let holes: Vec<OwnedEventId> = holes.cloned().collect();
            match self.learn(room, server, holes, chain).await {
                Ok(()) => match self.rooms.unknown(room, &missing).await?.as_slice() {
                    [] => return Ok(()),
                    _ => last = FetchError::Nobody,
                },
                Err(FetchError::Room(error)) => return Err(error.into()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Keeps some events, and `wanted` ones and all that they rest on, fetched one by one. What
    /// can't be had leaves a hole, and what stands on it is not kept.
    pub(super) async fn learn(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        mut wanted: Vec<OwnedEventId>,
        mut events: Vec<Verified>,
    ) -> Result<(), FetchError> {
        let mut asked: HashSet<OwnedEventId> = HashSet::new();
        for _ in 0..MAX_LEVELS {
            wanted.retain(|id| asked.insert(id.clone()));
            wanted.truncate(MAX_FILLED);
            if asked.len() > MAX_FILLED + MAX_SINGLE {
                break;
            }
            events.extend(self.single(room, server, &wanted).await);
            match self.rooms.keep_aside(room.no, events.clone()).await {
                Ok(()) => return Ok(()),
                Err(NotJudged::AuthEvents(holes)) => wanted = holes,
                Err(error) => return Err(error.into()),
            }
            wanted.sort_unstable();
            wanted.dedup();
            if wanted.iter().all(|id| asked.contains(id)) {
                break;
            }
        }
        Ok(())
    }
}
