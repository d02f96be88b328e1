//! The store: the only crate that speaks SurrealQL.
//!
//! A domain decision is a [`Plan`]: the records it writes and the log entries that tell others
//! of the change. The log writer commits queued plans in batches, gives every log entry the next
//! position of this process and hands committed entries to the local consumers; consumers in
//! other processes hear the doorbell and read the log by position.

mod batch;
mod codec;
mod config;
mod database;
mod doorbell;
mod embedded;
mod error;
mod failure;
mod meter;
pub mod migrate;
mod node;
mod plan;
mod queue;
mod range;
mod removal;
mod repo;
mod store;
mod trim;
mod watermarks;
mod writer;

pub use self::{
    codec::CodecError,
    config::{Durability, StoreConfig},
    database::{Database, FALSE_ALARMS},
    error::StoreError,
    meter::Meter,
    plan::{Attachment, Committed, CommittedBatch, CommittedEntry, LogIndex, Plan},
    range::KeyRange,
    repo::state::FoldedState,
    store::Store,
    watermarks::Watermarks,
};
