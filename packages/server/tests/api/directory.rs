//! The room directory, by URL.

mod alias;
mod list;
mod public_rooms;
