//! Page backwards through a long room.

use crate::bench::fixture::{Bench, message};
use crate::bench::meter::{Latencies, Meter, Row, Target, drive};
use crate::wire::{Call, segment};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

const SENDERS: u64 = 16;
const PAGE: usize = 100;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let events = bench.scale(10_000, 1_000);
    let mut people = bench.people("pager", SENDERS).await?;
    let room_id = people
        .first_mut()
        .context("no person")?
        .create_room("long")
        .await?;
    for person in people.iter_mut().skip(1) {
        person.join(&room_id).await?;
    }
    let wires: Vec<_> = people.into_iter().map(|person| person.wire).collect();
    let sent_room = room_id.clone();
    let make = Arc::new(move |worker, n| message(&sent_room, &format!("{worker}-{n}")));
    let (mut wires, _) = drive(wires, 0, events / SENDERS, &make).await?;

    let wire = wires.first_mut().context("no connection")?;
    let base = format!(
        "/_matrix/client/v3/rooms/{}/messages?dir=b&limit={PAGE}",
        segment(&room_id)
    );
    let mut latencies = Latencies::new()?;
    let meter = Meter::start(&bench.server)?;
    for _ in 0..bench.scale(5, 2) {
        let mut path = base.clone();
        let mut seen = 0;
        loop {
            let began = Instant::now();
            let body = wire.ok(Call::get(path)).await?;
            let took = began.elapsed();
            let page: Page = serde_json::from_slice(&body)?;
            seen += page.chunk.len();
            if page.chunk.len() == PAGE {
                latencies.record(took);
            }
            let Some(end) = page.end.filter(|_| !page.chunk.is_empty()) else {
                break;
            };
            path = format!("{base}&from={}", segment(&end));
        }
        let sent = usize::try_from(events)?;
        ensure!(
            seen >= sent,
            "/messages gave {seen} of more than {sent} events"
        );
    }
    let target = Target::cpu(1.0).p50(3.0);
    Ok(vec![meter.finish(
        &format!("messages, page of {PAGE}"),
        &latencies,
        target,
    )?])
}

#[derive(serde::Deserialize)]
struct Page {
    chunk: Vec<Value>,
    end: Option<String>,
}
