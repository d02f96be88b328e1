//! Servers that talk to each other over TLS on loopback.

mod cli;
mod gaps;
mod history;
mod joining;
mod keys;
mod outbound;
mod pair;
mod pdu;
mod query;
mod resident;
mod rotation;
mod stranger;
mod x_matrix;
