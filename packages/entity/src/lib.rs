//! Matrix and stored types, and the pure rules on them: no I/O, no async, no clock.

pub mod account_data;
pub mod clock;
pub mod event;
pub mod log;
pub mod member;
pub mod pdu;
pub mod position;
pub mod receipt;
pub mod room;
pub mod room_no;
pub mod room_snapshot;
pub mod state;
pub mod stored;
pub mod timeline;
