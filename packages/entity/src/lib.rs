//! Matrix and stored types, and the pure rules on them: no I/O, no async, no clock.

pub mod access_token;
pub mod account_data;
pub mod clock;
pub mod device;
pub mod device_activity;
pub mod event;
pub mod filter;
pub mod log;
pub mod member;
pub mod pdu;
pub mod position;
pub mod profile;
pub mod receipt;
pub mod refresh_token;
pub mod registration_token;
pub mod room;
pub mod room_no;
pub mod room_snapshot;
pub mod setup;
pub mod state;
pub mod stored;
pub mod timeline;
pub mod token_hash;
pub mod uia_session;
pub mod user;
