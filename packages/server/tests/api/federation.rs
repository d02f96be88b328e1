//! Servers that talk to each other over TLS on loopback.

mod asking;
mod backfill;
mod cli;
mod directory;
mod edu;
mod gaps;
mod history;
mod joining;
mod keys;
mod knocking;
mod liar;
mod link;
mod matrix;
mod outbound;
mod pair;
mod partner;
mod pdu;
mod query;
mod resident;
mod rotation;
mod sender;
mod stranger;
mod third_party;
mod together;
mod users;
mod x_matrix;
