//! What a server tells of a room that one of our users joins through it.

use std::collections::HashMap;

use matryx_entity::{
    room_versions,
    verify::{PduError, Unverified, Verified},
};
use ruma::{
    OwnedEventId, RoomId, RoomVersionId, ServerName, UserId,
    api::federation::membership::create_join_event::v2::RoomState, events::TimelineEventType,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use crate::room::{RoomError, Rooms};

/// How many events are read and verified at once: what bounds the memory that they need before
/// they are.
const CHUNK: usize = 1000;

/// A room, told by another server. Signatures and hashes are right; whether the events were
/// allowed is not known yet.
#[derive(Debug)]
pub(super) struct ToldRoom {
    /// The ids of the events that are said to be the state.
    pub(super) state: Vec<OwnedEventId>,
    /// The events of the state, and those that they rest on.
    pub(super) events: Vec<Verified>,
}

#[derive(Deserialize)]
struct CreateContent {
    room_version: Option<String>,
}

impl Rooms {
    /// Reads the answer to a join. Events that can't be believed, and events of other rooms, are
    /// dropped.
    ///
    /// # Errors
    /// [`RoomError::BadAnswer`] without the room's own create event.
    pub(super) async fn read_told_room(
        &self,
        server: &ServerName,
        (room_id, version): (&RoomId, &RoomVersionId),
        answer: RoomState,
    ) -> Result<ToldRoom, RoomError> {
        let count = answer.state.len();
        let mut texts: Vec<Box<RawValue>> = answer.state;
        texts.extend(answer.auth_chain);
        let mut verified: HashMap<OwnedEventId, Verified> = HashMap::with_capacity(texts.len());
        let mut state = Vec::with_capacity(count);
        let mut dropped = 0_usize;
        let mut texts = texts.into_iter().enumerate();
        loop {
            let chunk: Vec<_> = texts.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let version = version.clone();
            let parsed = spawn_blocking(move || parse(chunk, &version));
            let parsed = parsed.await.map_err(|_panic| RoomError::ShuttingDown)?;
            let mut new = Vec::with_capacity(parsed.len());
            for (nth, event) in parsed {
                match event {
                    Ok(event) if event.room_id() == room_id => {
                        if nth < count {
                            state.push(event.event_id().to_owned());
                        }
                        if !verified.contains_key(event.event_id()) {
                            new.push(event);
                        }
                    }
                    Ok(_) | Err(_) => dropped += 1,
                }
            }
            for event in self.inner.deps.key_ring.verify_all(new).await {
                match event {
                    Ok(event) => {
                        verified.insert(event.event_id().to_owned(), event);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "an event of a room's state is dropped");
                        dropped += 1;
                    }
                }
            }
        }
        if dropped > 0 {
            tracing::warn!(%server, %room_id, dropped, "dropped events of a room's state");
        }
        state.retain(|id| verified.contains_key(id));
        check_create(server, version, &state, &verified)?;
        Ok(ToldRoom {
            state,
            events: verified.into_values().collect(),
        })
    }

    /// The join as the server signed it, which is ours but for the signature of whoever lets the
    /// user in.
    ///
    /// # Errors
    /// [`RoomError::BadAnswer`] for another event, or one without that signature.
    pub(super) async fn read_told_join(
        &self,
        server: &ServerName,
        version: &RoomVersionId,
        (event_id, user): (&OwnedEventId, &UserId),
        told: Option<Box<RawValue>>,
        ours: &str,
    ) -> Result<Verified, RoomError> {
        let bad = |reason: String| RoomError::BadAnswer {
            server: server.to_owned(),
            reason,
        };
        let text = told.as_ref().map_or(ours, |told| told.get());
        let event = Unverified::parse(text, version).map_err(|error| bad(error.to_string()))?;
        if event.event_id() != event_id || event.sender() != user {
            return Err(bad("the answer has another join than ours".to_owned()));
        }
        let event = self.inner.deps.key_ring.verify(event).await;
        let event = event.map_err(|error| bad(error.to_string()))?;
        if event.is_redacted() {
            return Err(bad("the answer has a join with another content".to_owned()));
        }
        Ok(event)
    }
}

fn parse(
    texts: Vec<(usize, Box<RawValue>)>,
    version: &RoomVersionId,
) -> Vec<(usize, Result<Unverified, PduError>)> {
    let parse = |(nth, text): (usize, Box<RawValue>)| (nth, Unverified::parse(text.get(), version));
    texts.into_iter().map(parse).collect()
}

/// A room without its own create event is none: everything rests on that.
fn check_create(
    server: &ServerName,
    version: &RoomVersionId,
    state: &[OwnedEventId],
    events: &HashMap<OwnedEventId, Verified>,
) -> Result<(), RoomError> {
    let creates: Vec<&Verified> = state
        .iter()
        .filter_map(|id| events.get(id))
        .filter(|event| *event.kind() == TimelineEventType::RoomCreate)
        .collect();
    let bad = |reason: &str| {
        Err(RoomError::BadAnswer {
            server: server.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let [create] = creates.as_slice() else {
        return bad("the state does not have one create event");
    };
    room_versions::rules(version)?;
    let content = create.content_as::<CreateContent>();
    let told = content.and_then(|content| content.room_version);
    if told.as_deref().unwrap_or("1") != version.as_str() {
        return bad("the room has another version than was said");
    }
    Ok(())
}
