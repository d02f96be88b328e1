//! Servers that talk to each other over TLS on loopback.

mod cli;
mod history;
mod joining;
mod keys;
mod outbound;
mod pair;
mod partner;
mod pdu;
mod query;
mod resident;
mod rotation;
mod sender;
mod x_matrix;
