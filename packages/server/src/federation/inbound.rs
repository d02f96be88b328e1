//! Events that other servers send, each judged on its own: a bad one never spoils the rest.

use std::collections::BTreeMap;

use matryx_entity::{
    room_snapshot::RoomSnapshot,
    verify::{Unverified, Verified},
};
use ruma::{OwnedEventId, OwnedRoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    key::KeyRing,
    room::{Judged, NotJudged, Rooms, acl::ServerAcls},
};

/// What became of each event.
pub type Results = BTreeMap<OwnedEventId, Result<(), String>>;

/// Which room an event says it is of.
#[derive(Deserialize)]
struct OfRoom {
    room_id: OwnedRoomId,
}

/// Verifies and judges events, in the order in which they came. Done once all that is accepted is
/// durable.
pub async fn receive_all(
    rooms: &Rooms,
    key_ring: &KeyRing,
    acls: &ServerAcls,
    origin: &ServerName,
    pdus: Vec<Box<RawValue>>,
) -> Results {
    let mut results = Results::new();
    let mut of_rooms = Vec::new();
    let mut events = Vec::new();
    for pdu in pdus {
        // An event without a room, or of a room that this server is not in, has no id by which it
        // could be answered for: the id depends on the version of the room.
        let Ok(OfRoom { room_id }) = serde_json::from_str(pdu.get()) else {
            continue;
        };
        let Ok(room) = rooms.resident(&room_id).await else {
            match rooms.hear_from_outside(origin, &room_id, &pdu).await {
                Ok(heard) => results.extend(heard.map(|event_id| (event_id, Ok(())))),
                Err(error) => tracing::info!(%origin, %room_id, %error, "an event is dropped"),
            }
            continue;
        };
        let Ok(event) = Unverified::parse(pdu.get(), &room.version) else {
            continue;
        };
        if !acls.allows(&room, origin) {
            let reason = "the room keeps your server out".to_owned();
            results.insert(event.event_id().to_owned(), Err(reason));
            continue;
        }
        of_rooms.push((event.event_id().to_owned(), room));
        events.push(event);
    }
    let verified = key_ring.verify_all(events).await;
    for ((event_id, room), verified) in of_rooms.into_iter().zip(verified) {
        let result = match verified {
            Ok(event) => receive(rooms, &room, event).await,
            Err(error) => Err(error.to_string()),
        };
        results.insert(event_id, result);
    }
    results
}

async fn receive(rooms: &Rooms, room: &RoomSnapshot, event: Verified) -> Result<(), String> {
    match rooms.receive(room.no, event, None).await {
        Ok(Judged::Accepted | Judged::SoftFailed(_) | Judged::Known) => Ok(()),
        Ok(Judged::Rejected(reason)) => Err(reason.to_string()),
        Err(NotJudged::Room(error)) => {
            tracing::warn!(%error, "an event of another server could not be taken");
            Err("it could not be taken; send it again".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}
