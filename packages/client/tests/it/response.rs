//! Looking into responses.

use matryx_entity::room_no::RoomNo;
use ruma::{
    api::client::sync::sync_events::v3::{JoinedRoom, LeftRoom, Response, State},
    serde::Raw,
};
use serde_json::Value;

use crate::world::World;

/// The ids of events in a response.
pub(crate) fn ids<T>(events: &[Raw<T>]) -> Vec<String> {
    events
        .iter()
        .map(|event| event.get_field("event_id").unwrap().unwrap())
        .collect()
}

pub(crate) fn value<T>(event: &Raw<T>) -> Value {
    serde_json::from_str(event.json().get()).unwrap()
}

pub(crate) fn joined<'a>(world: &World, response: &'a Response, room: RoomNo) -> &'a JoinedRoom {
    let joined = response.rooms.join.get(&world.id(room));
    joined.expect("the room is not in `rooms.join`")
}

pub(crate) fn left<'a>(world: &World, response: &'a Response, room: RoomNo) -> &'a LeftRoom {
    let left = response.rooms.leave.get(&world.id(room));
    left.expect("the room is not in `rooms.leave`")
}

/// The ids of the state events of a room.
pub(crate) fn state_ids(state: &State) -> Vec<String> {
    match state {
        State::Before(events) | State::After(events) => ids(&events.events),
        _ => panic!("an unknown kind of state"),
    }
}

/// The `(type, state_key)` of the state events of a room.
pub(crate) fn slots(state: &State) -> Vec<(String, String)> {
    let (State::Before(events) | State::After(events)) = state else {
        panic!("an unknown kind of state");
    };
    let mut slots: Vec<_> = events
        .events
        .iter()
        .map(|event| {
            let text = |field| event.get_field::<String>(field).unwrap().unwrap();
            (text("type"), text("state_key"))
        })
        .collect();
    slots.sort();
    slots
}
