//! Rooms, by URL.

mod aliases;
mod context;
mod create_room;
mod event;
mod get_state;
mod incoming;
mod members;
mod membership;
mod messages;
mod reading;
mod receipt;
mod send;
mod timestamp_to_event;
mod typing;
mod visibility;

use self::reading::{bodies, event_ids, room_path, say_many};
