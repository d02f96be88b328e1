//! An incremental /sync that has nothing to tell.

use crate::bench::fixture::Bench;
use crate::bench::meter::{Plan, Row, Target, measure};
use crate::wire::{Call, segment};
use anyhow::{Context as _, Result};

const WORKERS: u64 = 16;
const ROOMS: u64 = 10;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut people = bench.people("quiet", WORKERS).await?;
    for n in 0..ROOMS {
        let creator = people.first_mut().context("no person")?;
        let room_id = creator.create_room(&format!("quiet {n}")).await?;
        for person in people.iter_mut().skip(1) {
            person.join(&room_id).await?;
        }
    }
    let mut paths = Vec::new();
    for person in &mut people {
        let since = person.sync_token().await?;
        paths.push(format!(
            "/_matrix/client/v3/sync?timeout=0&since={}",
            segment(&since)
        ));
    }
    let wires = people.into_iter().map(|person| person.wire).collect();
    let plan = Plan {
        name: "empty incremental sync",
        warm_up: 100,
        count: bench.scale(4000, 400),
        target: Target::cpu(0.05).at_least(15_000.0),
    };
    let row = measure(&bench.server, &plan, wires, move |worker, _| {
        Call::get(paths.get(worker).cloned().unwrap_or_default())
    });
    Ok(vec![row.await?])
}
