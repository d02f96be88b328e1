//! The consuming half: the sync engine and the outbound HTTP clients.

pub mod federation;
mod flights;
pub mod outbound;
pub mod sync;

pub use self::flights::Flights;
