#![cfg(test)]
//! The rules, tested as the other crates use them.

mod auth_cases;
mod auth_matrix;
mod build;
mod canonical;
mod client_event;
mod device_lists;
mod filter_match;
mod format;
mod glob;
mod policy;
mod push;
mod push_edit;
mod redact;
mod resolve;
mod server_keys;
mod token;
mod user_ids;
mod visibility;
mod visibility_server;
mod world;
