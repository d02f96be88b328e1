//! The HTTP API against the real router, by URL. One binary, because linking is what costs.
//!
//! Most tests call the router in this process, over a database in memory; those of sockets,
//! listeners and shutdown open real ones, those of the process start the binary. See [`support`] for how to write one.
#![cfg(test)]

mod account;
mod dehydrated_device;
mod directory;
mod e2ee;
mod edge;
mod federation;
mod presence;
mod process;
mod room_keys;
mod rooms;
mod send_to_device;
mod support;
mod sync;
mod walk;
