//! Fills the database, so that the start after the run is one on a million events.

use super::send::{Load, one};
use crate::bench::fixture::Bench;
use crate::bench::meter::{Row, Target};
use anyhow::Result;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let load = Load {
        senders: 128,
        rooms: 50,
        messages: bench.scale(1_000_000, 10_000),
        target: Target::default(),
    };
    Ok(vec![one(bench, &load).await?])
}
