//! Records to write and read.

use matryx_entity::{
    event::{EventPointer, EventRow},
    log::LogEntry,
    member::Member,
    position::Position,
    room::{Alias, Room, RoomPointer},
    room_no::RoomNo,
    stretch::FIRST_POS,
};
use matryx_surrealdb::Plan;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, events::room::member::MembershipState,
};

/// A user of the local server.
pub(crate) fn user(name: &str) -> OwnedUserId {
    OwnedUserId::try_from(format!("@{name}:example.org")).unwrap()
}

/// The id of the event that [`event`] makes.
pub(crate) fn event_id(room: i64, pos: i64) -> OwnedEventId {
    OwnedEventId::try_from(format!("$event_{room}_{pos}")).unwrap()
}

/// The id of the room that [`room`] makes.
pub(crate) fn room_id(no: i64) -> OwnedRoomId {
    OwnedRoomId::try_from(format!("!room{no}:example.org")).unwrap()
}

/// A room.
pub(crate) fn room(no: i64) -> Room {
    Room {
        no: RoomNo(no),
        room_id: room_id(no),
        version: RoomVersionId::V12,
        entered: FIRST_POS,
    }
}

/// The pointer to it.
pub(crate) fn room_pointer(no: i64) -> RoomPointer {
    RoomPointer {
        room_id: room_id(no),
        no: RoomNo(no),
    }
}

/// A message.
pub(crate) fn event(room: i64, pos: i64) -> EventRow {
    EventRow {
        room: RoomNo(room),
        pos,
        at: Position::default(),
        event_id: event_id(room, pos),
        kind: "m.room.message".to_owned(),
        state_key: None,
        sender: user("alice"),
        ts: 1_700_000_000_000,
        rejected: false,
        soft_failed: false,
        redacted_by: None,
        group: 2,
        head_group: None,
        replaces: None,
        delta: None,
        extremities: vec![event_id(room, pos)],
        past: None,
        seam: None,
        json: format!(r#"{{"body":"message {pos}"}}"#),
    }
}

/// The pointer to it.
pub(crate) fn pointer(room: i64, pos: i64) -> EventPointer {
    EventPointer {
        event_id: event_id(room, pos),
        room: RoomNo(room),
        pos,
        was_aside: false,
    }
}

/// A membership.
pub(crate) fn member(name: &str, room: i64, since: Position) -> Member {
    Member {
        user: user(name),
        room: RoomNo(room),
        room_id: room_id(room),
        membership: MembershipState::Join,
        event_id: event_id(room, 1),
        sender: user(name),
        pos: 1,
        at: Position::default(),
        since,
        spans: vec![(1, MembershipState::Join)],
        forgotten: false,
        stripped_state: None,
    }
}

/// An alias.
pub(crate) fn alias(name: &str, room: i64) -> Alias {
    Alias {
        alias: format!("#{name}:example.org").try_into().unwrap(),
        room_id: room_id(room),
        room: RoomNo(room),
        creator: user("alice"),
    }
}

/// The log entry of an event.
pub(crate) fn logged(room: i64, pos: i64) -> LogEntry {
    LogEntry::Event {
        room: RoomNo(room),
        pos,
        txn: None,
        member: None,
        shares: false,
        told: false,
    }
}

/// What a message writes: the event, its pointer and its log entry.
pub(crate) fn message(room: i64, pos: i64) -> Plan {
    let mut plan = Plan::new();
    let at = plan.log(logged(room, pos));
    plan.create_stamped(&event(room, pos), at)
        .create(&pointer(room, pos));
    plan
}
