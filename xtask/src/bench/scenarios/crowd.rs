//! A room with thousands of local members: read its members and state, send into it, join it.

use crate::bench::fixture::{Bench, Person, message, registration, user_id};
use crate::bench::meter::{Plan, Row, Target, drive, measure};
use crate::wire::{Call, Wire, segment};
use anyhow::{Result, ensure};
use serde_json::json;
use std::sync::Arc;

/// Connections that fill the room.
const WORKERS: u64 = 16;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut owner = bench.person("crowd_owner").await?;
    let room_id = owner.create_room("crowd").await?;
    let mut crowd = Crowd {
        room_id,
        members: 1,
        named: 0,
    };
    let mut rows = Vec::new();
    for size in [bench.scale(1000, 64), bench.scale(5000, 320)] {
        crowd.grow(bench, size).await?;
        crowd.expect_members(&mut owner).await?;
        rows.extend(crowd.reads(bench, &owner, size).await?);
        rows.push(crowd.send(bench, &owner, size).await?);
        rows.push(crowd.join(bench, size).await?);
    }
    Ok(rows)
}

/// The room and how many people are in it.
struct Crowd {
    room_id: String,
    members: u64,
    /// People registered so far: each is named by their number.
    named: u64,
}

impl Crowd {
    /// Fills the room up to `size` or a few more: whole rounds of all connections.
    async fn grow(&mut self, bench: &Bench, size: u64) -> Result<()> {
        let rounds = size.saturating_sub(self.members).div_ceil(WORKERS);
        let first = self.register(bench, rounds).await?;
        let room_id = self.room_id.clone();
        let joins = Arc::new(move |worker, n| join(&room_id, number(first, worker, n)));
        drive(wires(bench).await?, 0, rounds, &joins).await?;
        self.members += rounds * WORKERS;
        Ok(())
    }

    /// Registers `rounds` people per connection; returns the number of the first of them.
    async fn register(&mut self, bench: &Bench, rounds: u64) -> Result<u64> {
        let first = self.named;
        let registrations =
            Arc::new(move |worker, n| registration(&name(number(first, worker, n))));
        drive(wires(bench).await?, 0, rounds, &registrations).await?;
        self.named += rounds * WORKERS;
        Ok(first)
    }

    async fn expect_members(&self, owner: &mut Person) -> Result<()> {
        let answer = owner
            .wire
            .json(Call::get(self.path("joined_members")))
            .await?;
        let joined = answer.get("joined").and_then(|joined| joined.as_object());
        let joined = joined.map_or(0, serde_json::Map::len);
        let expected = usize::try_from(self.members)?;
        ensure!(
            joined == expected,
            "the room has {joined} members instead of {expected}"
        );
        Ok(())
    }

    async fn reads(&self, bench: &Bench, owner: &Person, size: u64) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for endpoint in ["members", "joined_members", "state"] {
            let name = format!("{endpoint}, {size} members");
            let count = bench.scale(20, 5);
            let plan = Plan {
                name: &name,
                warm_up: 1,
                count,
                target: Target::default(),
            };
            let path = self.path(endpoint);
            let wires = vec![owner.wire.another().await?];
            let row = measure(&bench.server, &plan, wires, move |_, _| {
                Call::get(path.clone())
            });
            rows.push(row.await?);
        }
        Ok(rows)
    }

    async fn send(&self, bench: &Bench, owner: &Person, size: u64) -> Result<Row> {
        let name = format!("send into {size} members");
        let target = Target::cpu(1.5).written(20.0);
        let plan = Plan {
            name: &name,
            warm_up: 10,
            count: bench.scale(500, 50),
            target,
        };
        let room_id = self.room_id.clone();
        let wires = vec![owner.wire.another().await?];
        let row = measure(&bench.server, &plan, wires, move |_, n| {
            message(&room_id, &format!("crowd{size}-{n}"))
        });
        row.await
    }

    async fn join(&mut self, bench: &Bench, size: u64) -> Result<Row> {
        let rounds = bench.scale(16, 4);
        let first = self.register(bench, rounds).await?;
        let name = format!("join into {size} members");
        let count = rounds * WORKERS;
        let plan = Plan {
            name: &name,
            warm_up: 0,
            count,
            target: Target::cpu(3.0),
        };
        let room_id = self.room_id.clone();
        let wires = vec![bench.appservice().await?];
        let row = measure(&bench.server, &plan, wires, move |_, n| {
            join(&room_id, first + n)
        });
        self.members += count;
        row.await
    }

    fn path(&self, endpoint: &str) -> String {
        format!(
            "/_matrix/client/v3/rooms/{}/{endpoint}",
            segment(&self.room_id)
        )
    }
}

async fn wires(bench: &Bench) -> Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for _ in 0..WORKERS {
        wires.push(bench.appservice().await?);
    }
    Ok(wires)
}

fn number(first: u64, worker: usize, n: u64) -> u64 {
    first + n * WORKERS + u64::try_from(worker).unwrap_or(0)
}

fn name(number: u64) -> String {
    format!("crowd_{number}")
}

/// Joins as person `number`, for whom the application service acts.
fn join(room_id: &str, number: u64) -> Call {
    let room_id = segment(room_id);
    let user_id = segment(&user_id(&name(number)));
    Call::post(
        format!("/_matrix/client/v3/join/{room_id}?user_id={user_id}"),
        &json!({}),
    )
}
