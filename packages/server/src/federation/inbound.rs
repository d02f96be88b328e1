//! Events that other servers send, each judged on its own: a bad one never spoils the rest.
//!
//! The events of a transaction go their ways room by room, side by side: a room that is slow or
//! damaged delays no other. An event whose past is unknown here is *staged*: it is written down, its
//! sender is told that it is safe, and a worker of its room fetches what is missing and judges it,
//! if need be after a restart. So is what a room does not get to in time, and, within narrow bounds,
//! an event of a server that does not tell its keys now: nobody would send it again.

mod stage;
mod staged;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use matryx_client::federation::Federation;
use matryx_entity::{
    clock::Clock,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    verify::{Unverified, Verified},
};
use matryx_surrealdb::StoreError;
use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::stage::Waiting;
use super::fetch::Fetch;
use crate::{
    key::{KeyRing, VerifyError},
    room::{Judged, NotJudged, RoomError, Rooms, acl::ServerAcls},
};

/// What became of each event.
pub type Results = BTreeMap<OwnedEventId, Result<(), String>>;

/// How long a transaction waits for the keys of those who signed its events, and then for one room;
/// what is not verified or not judged by then is staged.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many rooms fetch what they lack at the same time.
const MAX_FETCHING: usize = 16;

/// What inbound events need of the rest of the server.
pub struct InboundDependencies {
    /// The rooms.
    pub rooms: Rooms,
    /// Verifies events.
    pub key_ring: KeyRing,
    /// Which servers rooms keep out.
    pub acls: Arc<ServerAcls>,
    /// The way to other servers.
    pub federation: Federation,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Runs what must not stop when the sender goes away.
    pub tasks: TaskTracker,
    /// Fires when the server is told to stop.
    pub shutdown: CancellationToken,
}

/// Takes in the events that other servers send. Cheap to clone.
#[derive(Clone)]
pub struct Inbound(Arc<Inner>);

struct Inner {
    deps: InboundDependencies,
    fetch: Fetch,
    /// Rooms with staged events. The lock is held for a look-up only.
    waiting: Mutex<HashMap<RoomNo, Waiting>>,
    /// One permit per room that fetches.
    places: Semaphore,
}

/// Which room an event says it is of.
#[derive(Deserialize)]
struct OfRoom {
    room_id: OwnedRoomId,
}

/// The events of a transaction that are of one room.
struct OfOneRoom {
    room: Arc<RoomSnapshot>,
    events: Vec<Unverified>,
}

impl Inbound {
    /// Starts with the events that were staged before.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn start(deps: InboundDependencies) -> Result<Self, StoreError> {
        let staged = deps.rooms.store().rooms_of_staged_events().await?;
        let fetch = Fetch::new(
            deps.rooms.clone(),
            deps.key_ring.clone(),
            deps.federation.clone(),
        );
        let inbound = Self(Arc::new(Inner {
            deps,
            fetch,
            waiting: Mutex::default(),
            places: Semaphore::new(MAX_FETCHING),
        }));
        for room in staged {
            inbound.count_staged(room, None);
        }
        Ok(inbound)
    }

    /// Fetches what others know.
    pub fn fetch(&self) -> &Fetch {
        &self.0.fetch
    }

    /// Takes the events of a transaction. Done once all that is accepted is durable: judged, or
    /// staged.
    ///
    /// # Errors
    /// The database is away. The transaction must not be answered then: an event that is answered
    /// for, with whatever result, is never sent again.
    pub async fn receive(
        &self,
        origin: &ServerName,
        pdus: Vec<Box<RawValue>>,
    ) -> Result<Results, StoreError> {
        let (rooms, mut results) = self.by_room(origin, pdus).await?;
        let rooms = rooms.into_values().map(|of_room| {
            let (inbound, origin) = (self.clone(), origin.to_owned());
            async move { inbound.receive_in(&origin, of_room).await }
        });
        for done in futures_util::future::join_all(rooms).await {
            results.extend(done?);
        }
        Ok(results)
    }

    /// Sorts events by room; with the results of those that get nowhere.
    async fn by_room(
        &self,
        origin: &ServerName,
        pdus: Vec<Box<RawValue>>,
    ) -> Result<(HashMap<RoomNo, OfOneRoom>, Results), StoreError> {
        let deps = &self.0.deps;
        let mut results = Results::new();
        let mut rooms: HashMap<RoomNo, OfOneRoom> = HashMap::new();
        for pdu in pdus {
            // An event without a room, or of a room that this server is not in, has no id by which
            // it could be answered for: the id depends on the version of the room.
            let Ok(OfRoom { room_id }) = serde_json::from_str(pdu.get()) else {
                continue;
            };
            let room = match deps.rooms.resident(&room_id).await {
                Ok(room) => room,
                Err(error) if error.is_outage() => return Err(outage(&error)),
                Err(_) => {
                    match deps.rooms.hear_from_outside(origin, &room_id, &pdu).await {
                        Ok(heard) => results.extend(heard.map(|event_id| (event_id, Ok(())))),
                        Err(error) if error.is_outage() => return Err(outage(&error)),
                        Err(error) => {
                            tracing::info!(%origin, %room_id, %error, "an event is dropped");
                        }
                    }
                    continue;
                }
            };
            let Ok(event) = Unverified::parse(pdu.get(), &room.version) else {
                continue;
            };
            if !deps.acls.allows(&room, origin) {
                let reason = "the room keeps your server out".to_owned();
                results.insert(event.event_id().to_owned(), Err(reason));
                continue;
            }
            let of_room = rooms.entry(room.no).or_insert_with(|| OfOneRoom {
                room,
                events: Vec::new(),
            });
            of_room.events.push(event);
        }
        Ok((rooms, results))
    }

    /// Takes the events of one room, in the order in which they came.
    async fn receive_in(
        &self,
        origin: &ServerName,
        of_room: OfOneRoom,
    ) -> Result<Results, StoreError> {
        let OfOneRoom { room, events } = of_room;
        let (verified, mut results) = self.verify(room.no, origin, events).await?;
        // The work goes on when its time is over: an event must not be dropped half-way.
        let (inbound, no) = (self.clone(), room.no);
        let done = Arc::new(Mutex::new(HashMap::new()));
        let work = {
            let (events, done) = (verified.clone(), Arc::clone(&done));
            let origin = origin.to_owned();
            self.0.deps.tasks.spawn(async move {
                for event in events {
                    let id = event.event_id().to_owned();
                    let result = inbound.judge(no, &origin, event).await;
                    done.lock().insert(id, result);
                }
                inbound.wake(no);
                inbound.merge(no).await;
            })
        };
        let in_time = timeout(PATIENCE, work).await.is_ok();
        let done = std::mem::take(&mut *done.lock());
        for (id, result) in done {
            results.insert(id, result?);
        }
        if !in_time {
            tracing::warn!(room = %room.room_id, "a room is slow; its events are staged");
        }
        for event in verified {
            if !results.contains_key(event.event_id()) {
                let result = self.stage(no, origin, &event).await?;
                results.insert(event.event_id().to_owned(), result);
            }
        }
        Ok(results)
    }

    /// Verifies events of a room; with the results of those that are not judged now.
    async fn verify(
        &self,
        room: RoomNo,
        origin: &ServerName,
        events: Vec<Unverified>,
    ) -> Result<(Vec<Verified>, Results), StoreError> {
        let mut results = Results::new();
        let ids = events.iter().map(|event| event.event_id().to_owned());
        let ids: Vec<_> = ids.collect();
        let key_ring = &self.0.deps.key_ring;
        let outcomes = key_ring.verify_within(PATIENCE, events).await;
        let mut verified = Vec::with_capacity(outcomes.len());
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            match outcome {
                Ok(event) => verified.push(event),
                Err(VerifyError::KeysAway { event, .. }) => {
                    let result = self.stage_unverified(room, origin, &event).await?;
                    results.insert(id, result);
                }
                Err(VerifyError::Store(error @ StoreError::Unavailable { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    results.insert(id, Err(error.to_string()));
                }
            }
        }
        Ok((verified, results))
    }

    async fn judge(
        &self,
        room: RoomNo,
        origin: &ServerName,
        event: Verified,
    ) -> Result<Result<(), String>, StoreError> {
        match self.0.deps.rooms.receive(room, event.clone(), None).await {
            Ok(Judged::Accepted | Judged::SoftFailed(_) | Judged::Known) => Ok(Ok(())),
            Ok(Judged::Rejected(reason)) => Ok(Err(reason.to_string())),
            Err(NotJudged::PrevEvents(_) | NotJudged::AuthEvents(_)) => {
                self.stage(room, origin, &event).await
            }
            Err(NotJudged::Room(error)) => {
                tracing::warn!(%error, "an event of another server can't be judged now");
                self.stage(room, origin, &event).await
            }
            Err(error @ NotJudged::OtherRoom) => Ok(Err(error.to_string())),
        }
    }

    /// Merges the branches of a room if it has too many of them.
    async fn merge(&self, room: RoomNo) {
        let rooms = &self.0.deps.rooms;
        let merged = match rooms.is_frayed(room).await {
            Ok(true) => rooms.merge_extremities(room).await,
            other => other.map(drop),
        };
        if let Err(error) = merged {
            tracing::warn!(%error, "the branches of a room could not be merged");
        }
    }
}

/// What a transaction fails with while nothing can be read or written down.
fn outage(error: &RoomError) -> StoreError {
    StoreError::Unavailable {
        reason: error.to_string().into(),
    }
}
