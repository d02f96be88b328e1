//! The matryx homeserver: the HTTP edge, the domain and the command line.

pub mod api;
pub mod app;
pub mod appservice;
pub mod caller;
pub mod clock;
pub mod config;

#[cfg(test)]
mod generated;
