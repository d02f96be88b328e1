//! Rooms.

mod create_room;
mod membership;
mod send;
