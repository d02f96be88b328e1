//! The events between what this server has of a room and what it was sent.

use std::collections::{BTreeMap, HashMap, HashSet};

use matryx_client::outbound::Limits;
use matryx_entity::{room_snapshot::RoomSnapshot, verify::Verified};
use ruma::{
    EventId, OwnedEventId, OwnedServerName, ServerName, UInt,
    api::federation::event::get_missing_events::v1::Request as MissingRequest,
};
use tokio::time::{Duration, Instant};

use super::{Fetch, FetchError, LIMITS, servers::to_ask};
use crate::room::{Judged, NotJudged};

/// How many missing events one answer has at most.
const PER_ANSWER: u32 = 20;

/// The bounds of such an answer.
const MISSING_LIMITS: Limits = Limits {
    time: LIMITS.time,
    body: 4 << 20,
};

/// How often missing events are asked for, and how many of them, and of their bytes, are held at
/// once. What is missing beyond that is stepped over: the state there is asked for instead.
const MAX_ROUNDS: usize = 60;
const MAX_MISSING: usize = 1_000;
const MAX_BYTES: usize = 16 << 20;

/// How many events of which something is missing are named in one question.
const MAX_LATEST: usize = 20;

/// The longest that one attempt to make sense of some events takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often an event is judged anew because something else was missing.
const MAX_TRIES: usize = 4;

/// Events of one room that were sent to us, each after what it refers to, and what became of them.
struct Past<'a> {
    fetch: &'a Fetch,
    room: &'a RoomSnapshot,
    servers: Vec<OwnedServerName>,
    events: HashMap<OwnedEventId, Verified>,
    bytes: usize,
    until: Instant,
}

impl Fetch {
    /// Judges events with whatever other servers tell of what is before them; `origins` are asked
    /// first. Those that are left out of the answer could not be judged.
    ///
    /// # Errors
    /// The room can't be read or written to.
    pub async fn judge(
        &self,
        room: &RoomSnapshot,
        origins: Vec<OwnedServerName>,
        events: Vec<Verified>,
    ) -> Result<BTreeMap<OwnedEventId, Judged>, FetchError> {
        let mut past = Past {
            fetch: self,
            room,
            servers: to_ask(room, origins, self.rooms.server_name()),
            events: HashMap::new(),
            bytes: 0,
            until: Instant::now() + PATIENCE,
        };
        past.take(events);
        past.fill().await?;
        past.judge().await
    }
}

impl Past<'_> {
    /// Takes events in; how many of them are new.
    fn take(&mut self, events: Vec<Verified>) -> usize {
        let before = self.events.len();
        for event in events {
            let id = event.event_id().to_owned();
            self.bytes += event.json().len();
            self.events.entry(id).or_insert(event);
        }
        self.events.len() - before
    }

    /// Asks for what is missing between these events and what is here, until nothing is, nobody
    /// has more of it, or it is too much.
    async fn fill(&mut self) -> Result<(), FetchError> {
        let min_depth = self.fetch.rooms.first_depth(self.room).await?;
        let servers = self.servers.clone();
        let mut servers = servers.iter();
        let Some(mut server) = servers.next() else {
            return Ok(());
        };
        let mut ends = self.ends(min_depth).await?;
        for _ in 0..MAX_ROUNDS {
            if ends.is_empty()
                || self.events.len() >= MAX_MISSING
                || self.bytes >= MAX_BYTES
                || self.is_over().await
            {
                break;
            }
            let found = self.ask(server, &ends, min_depth).await;
            if self.take(found) == 0 {
                match servers.next() {
                    Some(next) => server = next,
                    None => break,
                }
            } else {
                ends = self.ends(min_depth).await?;
            }
        }
        Ok(())
    }

    /// The events that refer to what is neither here nor among them, deepest last. What is before
    /// those that are not deeper than `depth` is history, and not to be fetched now.
    async fn ends(&self, depth: u64) -> Result<Vec<OwnedEventId>, FetchError> {
        let prev = self.events.values().flat_map(|event| event.prev_events());
        let prev = prev.filter(|id| !self.events.contains_key(*id)).cloned();
        let missing = self.fetch.rooms.without_state(self.room, prev).await?;
        let mut ends: Vec<&Verified> = self
            .events
            .values()
            .filter(|event| event.prev_events().iter().any(|id| missing.contains(id)))
            .filter(|event| event.depth() > depth)
            .collect();
        ends.sort_by_key(|event| event.depth());
        let ends = ends.into_iter().take(MAX_LATEST);
        Ok(ends.map(|event| event.event_id().to_owned()).collect())
    }

    /// One question. Only what something refers to is taken.
    async fn ask(
        &self,
        server: &ServerName,
        ends: &[OwnedEventId],
        min_depth: u64,
    ) -> Vec<Verified> {
        let room_id = self.room.room_id.clone();
        let newest = self.room.extremities.len().saturating_sub(MAX_LATEST);
        let here = self.room.extremities.iter().skip(newest).cloned().collect();
        let mut request = MissingRequest::new(room_id, here, ends.to_vec());
        request.limit = UInt::from(PER_ANSWER);
        request.min_depth = UInt::try_from(min_depth).unwrap_or_default();
        let answer = self
            .fetch
            .federation
            .send_with(server, request, MISSING_LIMITS);
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%server, %error, "missing events could not be fetched");
                return Vec::new();
            }
        };
        let most = usize::try_from(PER_ANSWER).unwrap_or(usize::MAX);
        let found = self.fetch.believed(self.room, &answer.events, most).await;
        let mut waiting: HashMap<OwnedEventId, Verified> = found
            .into_iter()
            .map(|event| (event.event_id().to_owned(), event))
            .collect();
        // What is connected to an end by way of the others was asked for, and nothing else.
        let ends = ends.iter().filter_map(|id| self.events.get(id));
        let mut open: Vec<OwnedEventId> = ends
            .flat_map(|event| event.prev_events())
            .cloned()
            .collect();
        let mut connected = Vec::new();
        while let Some(id) = open.pop() {
            if let Some(event) = waiting.remove(&id) {
                open.extend(event.prev_events().iter().cloned());
                connected.push(event);
            }
        }
        connected
    }

    /// Judges all events, each after those that it refers to.
    async fn judge(mut self) -> Result<BTreeMap<OwnedEventId, Judged>, FetchError> {
        let mut judged = BTreeMap::new();
        let mut failed: HashSet<OwnedEventId> = HashSet::new();
        for event in in_order(std::mem::take(&mut self.events)) {
            if !self.is_followed().await {
                break;
            }
            let id = event.event_id().to_owned();
            if event.prev_events().iter().any(|id| failed.contains(id)) {
                failed.insert(id);
                continue;
            }
            match self.judge_one(event).await {
                Ok(what) => {
                    judged.insert(id, what);
                }
                Err(FetchError::Room(error)) if error.is_outage() => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(event_id = %id, %error, "an event can't be judged yet");
                    failed.insert(id);
                }
            }
        }
        Ok(judged)
    }

    async fn judge_one(&self, event: Verified) -> Result<Judged, FetchError> {
        let (rooms, room) = (&self.fetch.rooms, self.room);
        let mut told = None;
        for _ in 0..MAX_TRIES {
            match rooms.receive(room.no, event.clone(), told.clone()).await {
                Ok(judged) => return Ok(judged),
                Err(NotJudged::Room(error)) => return Err(error.into()),
                Err(NotJudged::OtherRoom) => return Err(FetchError::Useless("another room")),
                Err(NotJudged::AuthEvents(missing)) => {
                    self.be_patient().await?;
                    let id = event.event_id();
                    let learnt = self.fetch.learn_authority(room, &self.servers, id, missing);
                    learnt.await?;
                }
                Err(NotJudged::PrevEvents(_)) => {
                    self.be_patient().await?;
                    let state = self.fetch.state_before(room, &self.servers, &event);
                    told = match state.await {
                        Ok(state) => Some(state),
                        Err(FetchError::Room(error)) => return Err(error.into()),
                        Err(error) => Some(rooms.state_at_removal(room, &event).ok_or(error)?),
                    };
                }
            }
        }
        Err(FetchError::Nobody)
    }

    async fn be_patient(&self) -> Result<(), FetchError> {
        if self.is_over().await {
            return Err(FetchError::Nobody);
        }
        Ok(())
    }

    async fn is_over(&self) -> bool {
        Instant::now() >= self.until || !self.is_followed().await
    }

    /// Is anybody here still in the room? Nothing is asked, or judged, for those who have left.
    async fn is_followed(&self) -> bool {
        self.fetch.rooms.resident(&self.room.room_id).await.is_ok()
    }
}

/// Events, each after those of them that it refers to.
fn in_order(mut waiting: HashMap<OwnedEventId, Verified>) -> Vec<Verified> {
    let mut ids: Vec<(u64, OwnedEventId)> = waiting
        .iter()
        .map(|(id, event)| (event.depth(), id.clone()))
        .collect();
    ids.sort_unstable();
    let mut ordered = Vec::with_capacity(waiting.len());
    for (_, id) in ids {
        // Depth first, without recursion. An id is a hash of what the event names: no circles.
        let mut path = vec![id];
        while let Some(id) = path.last() {
            let Some(event) = waiting.get(id) else {
                path.pop();
                continue;
            };
            let waits = |id: &&OwnedEventId| waiting.contains_key(&***id as &EventId);
            if let Some(next) = event.prev_events().iter().find(waits).cloned() {
                path.push(next);
            } else {
                let done = path.pop().and_then(|id| waiting.remove(&id));
                ordered.extend(done);
            }
        }
    }
    ordered
}
