//! The sync engine on an in-memory store with scripted commits, and the way to other servers: on a
//! scripted network, and on loopback.
#![cfg(test)]

mod device_lists;
mod ephemeral;
mod filters;
mod follower;
mod incremental;
mod initial;
mod lazy;
mod left;
mod membership;
mod outbound;
mod presence;
mod random;
mod resolve;
mod response;
mod restart;
mod script;
mod state;
mod to_device;
mod transactions;
mod unread;
mod waiting;
mod world;
