//! Create public rooms, one after another and sixteen at once.

use crate::bench::fixture::{Bench, room_creation};
use crate::bench::meter::{Plan, Row, Target, measure};
use anyhow::Result;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for workers in [1, 16] {
        let people = bench.people(&format!("creator{workers}_"), workers).await?;
        let wires = people.into_iter().map(|person| person.wire).collect();
        let name = format!("create room ×{workers}");
        let count = bench.scale(320, 32) / workers;
        let plan = Plan {
            name: &name,
            warm_up: 2,
            count,
            target: Target::default(),
        };
        let row = measure(&bench.server, &plan, wires, |worker, n| {
            room_creation(&format!("room {worker}-{n}"))
        });
        rows.push(row.await?);
    }
    Ok(rows)
}
