//! What this server does for others, and with what they send.

pub mod edu;
pub mod fetch;
pub mod inbound;
pub mod sender;
pub mod transactions;
