//! The sync engine on an in-memory store with scripted commits, without HTTP.
#![cfg(test)]

mod ephemeral;
mod filters;
mod follower;
mod incremental;
mod initial;
mod lazy;
mod left;
mod membership;
mod random;
mod response;
mod restart;
mod state;
mod transactions;
mod unread;
mod waiting;
mod world;
