//! The matryx homeserver: the HTTP edge, the domain and the command line.

pub mod api;
pub mod app;
pub mod appservice;
pub mod caller;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod data_dir;
pub mod dehydrated_device;
pub mod e2ee;
pub mod federation;
pub mod key;
pub mod key_backup;
pub mod presence;
pub mod rate_limit;
pub mod room;
pub mod serve;
pub mod signing_key;
pub mod telemetry;
pub mod to_device;
pub mod user;
pub mod user_locks;

#[cfg(test)]
mod generated;
