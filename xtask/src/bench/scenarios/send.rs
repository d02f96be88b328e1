//! Send messages: one after another, and many senders into one or many rooms.

use crate::bench::fixture::{Bench, message};
use crate::bench::meter::{Plan, Row, Target, measure};
use anyhow::{Context as _, Result};

/// Senders, rooms, messages in all, and what is asked of it.
pub(super) struct Load {
    pub(super) senders: u64,
    pub(super) rooms: u64,
    pub(super) messages: u64,
    pub(super) target: Target,
}

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let load = |senders, rooms, messages, target| Load {
        senders,
        rooms,
        messages,
        target,
    };
    let none = Target::default();
    let loads = [
        load(1, 1, 2000, Target::cpu(1.2).p50(1.5)),
        load(16, 1, 6400, none),
        load(64, 1, 6400, none),
        load(10, 10, 6000, Target::cpu(1.0).p50(5.0)),
        load(1, 50, 2000, none),
        load(16, 50, 6400, none),
        load(64, 50, 12_800, none.at_least(2000.0)),
    ];
    let mut rows = Vec::new();
    for load in loads {
        rows.push(one(bench, &load).await?);
    }
    Ok(rows)
}

pub(super) async fn one(bench: &Bench, load: &Load) -> Result<Row> {
    let label = format!("send{}x{}_", load.senders, load.rooms);
    let mut people = bench.people(&label, load.senders).await?;
    let mut rooms = Vec::new();
    for n in 0..load.rooms {
        let creator = people.first_mut().context("no sender")?;
        rooms.push(creator.create_room(&format!("{label}{n}")).await?);
    }
    for person in people.iter_mut().skip(1) {
        for room_id in &rooms {
            person.join(room_id).await?;
        }
    }
    let wires = people.into_iter().map(|person| person.wire).collect();
    let name = format!("send, {} × {} rooms", load.senders, load.rooms);
    let messages = bench.scale(load.messages, load.messages / 10);
    let count = (messages / load.senders).max(1);
    let warm_up = count.div_ceil(20);
    let plan = Plan {
        name: &name,
        warm_up,
        count,
        target: load.target,
    };
    let row = measure(&bench.server, &plan, wires, move |worker, n| {
        let room = usize::try_from(n).unwrap_or(0).wrapping_add(worker) % rooms.len().max(1);
        message(
            rooms.get(room).map_or("", String::as_str),
            &format!("{worker}-{n}"),
        )
    });
    row.await
}
