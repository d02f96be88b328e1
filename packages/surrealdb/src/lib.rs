//! The store: the only crate that speaks SurrealQL.
//!
//! A domain decision is a [`Plan`]: the records it writes and the log entries that tell others
//! of the change. The log writer commits queued plans in batches, gives every log entry the next
//! position of this process and hands committed entries to the local consumers; consumers in
//! other processes hear the doorbell and read the log by position.

#![expect(
    dead_code,
    reason = "the log writer that uses the encoded rows follows"
)]

mod codec;
mod config;
mod error;
mod plan;
mod range;
mod store;
mod watermarks;

pub use self::{
    codec::CodecError,
    config::{Durability, StoreConfig},
    error::StoreError,
    plan::{Attachment, Committed, CommittedBatch, CommittedEntry, LogIndex, Plan},
    range::KeyRange,
    store::Store,
    watermarks::Watermarks,
};
