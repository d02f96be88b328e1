//! Two servers over TLS: joining large rooms of the other one, and taking its events.
//!
//! The counters are those of the server that joins and takes.

use crate::bench::fixture::{Bench, Person, message, registration};
use crate::bench::meter::{Latencies, Meter, Row, Target, drive};
use crate::homeserver::Homeserver;
use crate::procfs::Memory;
use crate::wire::{Call, segment, text};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Connections that fill rooms and send.
const WORKERS: u64 = 16;
/// Rooms that events are sent into.
const ROOMS: usize = 50;
/// Longest wait for the other server.
const PATIENCE: Duration = Duration::from_mins(5);
/// A large room is joined within this time.
const JOIN_LIMIT_MS: f64 = 10_000.0;

pub(crate) async fn joins(bench: &Bench) -> Result<Vec<Row>> {
    let (here, here_name) = bench.peer("large").await?;
    let mut owner = Bench::person_of(&here, "owner").await?;
    let room_id = owner.create_room("large").await?;
    let mut rows = Vec::new();
    let mut members = 1;
    let sizes = [
        bench.scale(1000, 64),
        bench.scale(5000, 320),
        bench.scale(20_000, 640),
    ];
    for size in sizes {
        members = fill(&here, &here_name, &room_id, members, size).await?;
        rows.push(join(bench, &here_name, &room_id, size).await?);
    }
    here.stop().await?;
    Ok(rows)
}

/// Brings members of the room's own server in, up to `to` or a few more; how many there are then.
async fn fill(here: &Homeserver, name: &str, room_id: &str, from: u64, to: u64) -> Result<u64> {
    let rounds = (to - from).div_ceil(WORKERS);
    let number =
        move |worker: usize, n: u64| from + n * WORKERS + u64::try_from(worker).unwrap_or(0);
    let wires = async || -> Result<Vec<_>> {
        let mut wires = Vec::new();
        for _ in 0..WORKERS {
            wires.push(Bench::appservice_of(here).await?);
        }
        Ok(wires)
    };
    let registrations =
        Arc::new(move |worker, n| registration(&format!("large_{}", number(worker, n))));
    drive(wires().await?, 0, rounds, &registrations).await?;
    let (room, name) = (segment(room_id), name.to_owned());
    let joins = Arc::new(move |worker, n| {
        let user = segment(&format!("@load_large_{}:{name}", number(worker, n)));
        let path = format!("/_matrix/client/v3/join/{room}?user_id={user}");
        Call::post(path, &json!({}))
    });
    drive(wires().await?, 0, rounds, &joins).await?;
    Ok(from + rounds * WORKERS)
}

/// A server that has never heard of the room joins it.
async fn join(bench: &Bench, here: &str, room_id: &str, size: u64) -> Result<Row> {
    let (there, _) = bench.peer(&format!("there{size}")).await?;
    let mut guest = Bench::person_of(&there, "guest").await?;
    let before = Memory::of(there.pid)?;
    let meter = Meter::start(&there)?;
    let mut latencies = Latencies::new()?;
    let began = Instant::now();
    join_through(&mut guest, here, room_id).await?;
    latencies.record(began.elapsed());
    let target = Target::default().p50(JOIN_LIMIT_MS);
    let mut row = meter.finish(
        &format!("join a room of {size} on another server"),
        &latencies,
        target,
    )?;
    row.grown_mib = Some(Memory::of(there.pid)?.peak_mib - before.now_mib);
    there.stop().await?;
    Ok(row)
}

async fn join_through(guest: &mut Person, here: &str, room_id: &str) -> Result<()> {
    let (room, via) = (segment(room_id), segment(here));
    let path = format!("/_matrix/client/v3/join/{room}?via={via}");
    let joined = guest.wire.ok(Call::post(path, &json!({})));
    timeout(PATIENCE, joined).await.context("no join")??;
    Ok(())
}

/// Events of many rooms, as fast as one server sends and the other takes them.
pub(crate) async fn events(bench: &Bench) -> Result<Vec<Row>> {
    let (here, here_name) = bench.peer("here").await?;
    let (there, _) = bench.peer("there").await?;
    let mut guest = Bench::person_of(&there, "guest").await?;
    let mut owner = Bench::person_of(&here, "sender").await?;
    let mut rooms = Vec::new();
    for nth in 0..ROOMS {
        let room_id = owner.create_room(&format!("many {nth}")).await?;
        join_through(&mut guest, &here_name, &room_id).await?;
        rooms.push(room_id);
    }
    let since = guest.sync_token().await?;
    let rounds = bench.scale(640, 16);
    let mut wires = Vec::new();
    for _ in 0..WORKERS {
        wires.push(owner.wire.another().await?);
    }
    let targets = rooms.clone();
    let sends = Arc::new(move |worker: usize, n: u64| {
        let nth = usize::try_from(n).unwrap_or(0) * 16 + worker;
        let room_id = targets.get(nth % targets.len().max(1));
        message(room_id.map_or("", |room| room), &format!("{worker}-{n}"))
    });
    let meter = Meter::start(&there)?;
    let began = Instant::now();
    drive(wires, 0, rounds, &sends).await?;
    for room_id in &rooms {
        owner.wire.ok(message(room_id, LAST)).await?;
    }
    timeout(PATIENCE, see_last(&mut guest, since, rooms.len()))
        .await
        .context("the events did not all arrive")??;
    let elapsed = began.elapsed();
    let count = rounds * WORKERS + u64::try_from(rooms.len())?;
    let mut latencies = Latencies::new()?;
    for _ in 0..count {
        latencies.record(elapsed / u32::try_from(count)?);
    }
    let target = Target::cpu(1.0).at_least(1000.0);
    let row = meter.finish("take events of another server", &latencies, target)?;
    there.stop().await?;
    here.stop().await?;
    Ok(vec![row])
}

/// The transaction id of the last message of a room, which its text begins with.
const LAST: &str = "the-last-one";

/// Follows `/sync` until the last message of every room was in it.
async fn see_last(guest: &mut Person, mut since: String, rooms: usize) -> Result<()> {
    let mut seen = BTreeSet::new();
    while seen.len() < rooms {
        let path = format!(
            "/_matrix/client/v3/sync?timeout=1000&since={}",
            segment(&since)
        );
        let sync = guest.wire.json(Call::get(path)).await?;
        since = text(&sync, "next_batch")?;
        let joined = sync.pointer("/rooms/join");
        let Some(joined) = joined.and_then(|joined| joined.as_object()) else {
            continue;
        };
        for (room_id, room) in joined {
            let Some(events) = room.pointer("/timeline/events") else {
                bail!("a room without a timeline");
            };
            let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
            let is_last = |event: &serde_json::Value| {
                let body = event
                    .pointer("/content/body")
                    .and_then(|body| body.as_str());
                body.is_some_and(|body| body.starts_with(LAST))
            };
            if events.iter().any(is_last) {
                seen.insert(room_id.clone());
            }
        }
    }
    Ok(())
}
