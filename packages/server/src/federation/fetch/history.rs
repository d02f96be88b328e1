//! The history of a room that this server did not follow.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events)

use std::collections::{BinaryHeap, HashMap, HashSet};

use matryx_client::outbound::Limits;
use matryx_entity::{room_snapshot::RoomSnapshot, stretch::Stretch, verify::Verified};
use ruma::{OwnedEventId, ServerName, UInt, api::federation::backfill::get_backfill::v1::Request};
use tokio::time::{Duration, Instant};

use super::{Fetch, FetchError, servers::to_ask};
use crate::room::{Bottom, Historic, NotJudged};

/// How many events are asked for at once.
const PER_ANSWER: u32 = 100;

/// How many events are named that are to be had with what is before them.
const MAX_NAMED: usize = 20;

/// For how many events of one answer the state before them is asked for.
const MAX_ENDS: usize = 10;

/// The bounds of one question, and of all of them: somebody waits.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: 16 << 20,
};
const PATIENCE: Duration = Duration::from_secs(30);

impl Fetch {
    /// Fetches a piece of a stretch of a room's history, if there is any that is not here, and puts
    /// it in place.
    ///
    /// # Errors
    /// Nobody has, or gives, more of it.
    pub async fn history(&self, room: &RoomSnapshot, stretch: Stretch) -> Result<(), FetchError> {
        let bottom = self.rooms.bottom(room, stretch).await?;
        if bottom.missing.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + PATIENCE;
        let mut last = FetchError::Nobody;
        for server in to_ask(room, [], self.rooms.server_name()) {
            if Instant::now() >= until {
                break;
            }
            match self.history_of(room, &server, &bottom).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(FetchError::Room(error)) => return Err(error.into()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What one server has; whether that was anything.
    async fn history_of(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        bottom: &Bottom,
    ) -> Result<bool, FetchError> {
        let named: Vec<_> = bottom.missing.iter().take(MAX_NAMED).cloned().collect();
        let request = Request::new(room.room_id.clone(), named, UInt::from(PER_ANSWER));
        let answer = self.federation.send_with(server, request, LIMITS).await?;
        let most = usize::try_from(PER_ANSWER).unwrap_or(usize::MAX);
        let mut found = self.believed(room, &answer.pdus, most).await;
        // What is here already, and all before it, has its place.
        let ids: Vec<_> = found
            .iter()
            .map(|event| event.event_id().to_owned())
            .collect();
        let placed = self.rooms.placed(room, &ids).await?;
        found.retain(|event| !placed.contains(event.event_id()));
        let found = self.with_authority(room, server, found).await?;
        let mut history = newest_first(&bottom.missing, found);
        let ends = loop {
            let ends = self.ends_of(room, &history).await?;
            if ends.len() <= MAX_ENDS {
                break ends;
            }
            // Too ragged: what is above these has to wait for another time as well.
            let cut: HashSet<_> = ends.into_iter().skip(MAX_ENDS).collect();
            history.retain(|event| !cut.contains(event.event_id()));
            history = newest_first(&bottom.missing, history);
        };
        let mut told = HashMap::new();
        for id in ends {
            let state = self.state_of_server(room, server, &id).await?;
            told.insert(id, state);
        }
        let history = history.into_iter().map(|event| Historic {
            told: told.remove(event.event_id()),
            event,
        });
        let placed = self.rooms.place_history(room.no, bottom, history.collect());
        Ok(placed.await?)
    }

    /// Those events whose authority is known, or can be had. Those that are of a state are kept, so
    /// that others may stand on them.
    async fn with_authority(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        mut events: Vec<Verified>,
    ) -> Result<Vec<Verified>, FetchError> {
        let is_state = |event: &&Verified| event.state_key().is_some();
        let states: Vec<Verified> = events.iter().filter(is_state).cloned().collect();
        let named = events.iter().flat_map(|event| event.auth_events());
        let told: HashSet<_> = states.iter().map(|event| event.event_id()).collect();
        let named: HashSet<_> = named.filter(|id| !told.contains(&***id)).collect();
        let named: Vec<OwnedEventId> = named.into_iter().cloned().collect();
        let unknown = self.rooms.unknown(room, &named).await?;
        if unknown.is_empty() {
            match self.rooms.keep_aside(room.no, states).await {
                Ok(()) | Err(NotJudged::AuthEvents(_)) => {}
                Err(error) => return Err(error.into()),
            }
        } else {
            self.learn(room, server, unknown, states).await?;
        }
        let named = events.iter().flat_map(|event| event.auth_events());
        let named: HashSet<_> = named.cloned().collect();
        let named: Vec<OwnedEventId> = named.into_iter().collect();
        let unknown = self.rooms.unknown(room, &named).await?;
        let unknown: HashSet<_> = unknown.into_iter().collect();
        events.retain(|event| event.auth_events().iter().all(|id| !unknown.contains(id)));
        Ok(events)
    }

    /// Those of some events before which the state is unknown.
    async fn ends_of(
        &self,
        room: &RoomSnapshot,
        history: &[Verified],
    ) -> Result<Vec<OwnedEventId>, FetchError> {
        let ids: HashSet<_> = history.iter().map(|event| event.event_id()).collect();
        let prev = history.iter().flat_map(|event| event.prev_events());
        let prev = prev.filter(|id| !ids.contains(&***id)).cloned();
        let missing = self.rooms.without_state(room, prev).await?;
        let ends = history
            .iter()
            .filter(|event| event.prev_events().iter().any(|id| missing.contains(id)));
        Ok(ends.map(|event| event.event_id().to_owned()).collect())
    }
}

/// Those events that are `missing` or before one that is, each before all that it refers to, and
/// the deepest first as far as that goes.
fn newest_first(missing: &[OwnedEventId], found: Vec<Verified>) -> Vec<Verified> {
    let mut found: HashMap<OwnedEventId, Verified> = found
        .into_iter()
        .map(|event| (event.event_id().to_owned(), event))
        .collect();
    let mut connected: HashMap<OwnedEventId, Verified> = HashMap::new();
    let mut open: Vec<OwnedEventId> = missing.to_vec();
    while let Some(id) = open.pop() {
        if let Some(event) = found.remove(&id) {
            open.extend(event.prev_events().iter().cloned());
            connected.insert(id, event);
        }
    }
    let mut above: HashMap<OwnedEventId, usize> = HashMap::new();
    for id in connected.values().flat_map(|event| event.prev_events()) {
        *above.entry(id.clone()).or_default() += 1;
    }
    let key = |event: &Verified| {
        let id = event.event_id().to_owned();
        (event.depth(), event.origin_server_ts(), id)
    };
    let free = connected
        .values()
        .filter(|event| !above.contains_key(event.event_id()));
    let mut ready: BinaryHeap<_> = free.map(key).collect();
    let mut ordered = Vec::with_capacity(connected.len());
    while let Some((.., id)) = ready.pop() {
        let Some(event) = connected.remove(&id) else {
            continue;
        };
        for prev in event.prev_events() {
            if let Some(count) = above.get_mut(prev) {
                *count -= 1;
                if *count == 0 {
                    ready.extend(connected.get(prev).map(key));
                }
            }
        }
        ordered.push(event);
    }
    ordered
}
