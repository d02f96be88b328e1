//! Events that this server lacks, asked of others.
//!
//! Whatever comes back is read, held against the room that it was asked for, and verified, event
//! by event; the rest is dropped without a word, for nobody is obliged to send us the truth. How
//! much is asked for, how long it may take and how much is kept is bounded by the constants here
//! and in [`past`] and [`state`].

mod history;
mod past;
mod servers;
mod state;

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, stream};
use matryx_client::{
    federation::{Federation, FederationError},
    outbound::Limits,
};
use matryx_entity::{
    room_snapshot::RoomSnapshot,
    verify::{Unverified, Verified},
};
use ruma::{
    OwnedEventId, ServerName, api::federation::event::get_event::v1::Request as EventRequest,
};
use serde_json::value::RawValue;

use crate::{
    key::KeyRing,
    room::{NotJudged, RoomError, Rooms},
};

/// The bounds of one question.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(15),
    body: 16 << 20,
};

/// The bounds of a question for one event, which has at most 64 KiB.
const SINGLE_LIMITS: Limits = Limits {
    time: LIMITS.time,
    body: 256 << 10,
};

/// How many single events are asked for at once.
const AT_ONCE: usize = 8;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No server had it.
    #[error("no server could tell")]
    Nobody,
    /// A server did not answer, or not in the way it should.
    #[error(transparent)]
    Server(#[from] FederationError),
    /// What a server answered is of no use.
    #[error("the answer is of no use: {0}")]
    Useless(&'static str),
    /// The room can't be read or written to.
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<NotJudged> for FetchError {
    fn from(error: NotJudged) -> Self {
        match error {
            NotJudged::Room(error) => Self::Room(error),
            _ => Self::Useless("events are missing in its chains"),
        }
    }
}

/// Asks other servers for events. Cheap to clone.
#[derive(Clone)]
pub struct Fetch {
    rooms: Rooms,
    key_ring: KeyRing,
    federation: Federation,
}

impl Fetch {
    /// A way to fetch events for these rooms.
    pub fn new(rooms: Rooms, key_ring: KeyRing, federation: Federation) -> Self {
        Self {
            rooms,
            key_ring,
            federation,
        }
    }

    /// The events of a room among what a server sent, each once, as far as they can be believed;
    /// at most `most` are looked at.
    async fn believed(
        &self,
        room: &RoomSnapshot,
        pdus: &[Box<RawValue>],
        most: usize,
    ) -> Vec<Verified> {
        let mut seen = HashSet::new();
        let mut events = Vec::new();
        for (nth, pdu) in pdus.iter().take(most).enumerate() {
            if nth % 64 == 63 {
                tokio::task::yield_now().await;
            }
            let Ok(event) = Unverified::parse(pdu.get(), &room.version) else {
                continue;
            };
            if event.room_id() == room.room_id && seen.insert(event.event_id().to_owned()) {
                events.push(event);
            }
        }
        let verified = self.key_ring.verify_all(events).await;
        verified.into_iter().filter_map(Result::ok).collect()
    }

    /// Single events, each with a request of its own; those that the server has.
    async fn single(
        &self,
        room: &RoomSnapshot,
        server: &ServerName,
        ids: &[OwnedEventId],
    ) -> Vec<Verified> {
        let ask = |id: OwnedEventId| async move {
            let request = EventRequest::new(id);
            let answer = self
                .federation
                .send_with(server, request, SINGLE_LIMITS)
                .await;
            answer.ok().map(|answer| answer.pdu)
        };
        let asked = stream::iter(ids.iter().cloned().map(ask)).buffer_unordered(AT_ONCE);
        let pdus: Vec<Option<Box<RawValue>>> = asked.collect().await;
        let pdus: Vec<Box<RawValue>> = pdus.into_iter().flatten().collect();
        let wanted: HashSet<&OwnedEventId> = ids.iter().collect();
        let mut events = self.believed(room, &pdus, ids.len()).await;
        events.retain(|event| wanted.contains(&event.event_id().to_owned()));
        events
    }
}
