//! The consuming half: the sync engine and the outbound HTTP clients.

pub mod sync;
