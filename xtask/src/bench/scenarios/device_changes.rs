//! A /sync that has to tell of a thousand changed devices.

use crate::bench::fixture::{Bench, registration_of, user_id};
use crate::bench::meter::{Plan, Row, Target, drive, measure};
use crate::wire::{Call, Wire, segment, text};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;

/// Connections that prepare.
const WORKERS: u64 = 16;

/// Everybody's device.
const DEVICE: &str = "BENCH";

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.scale(1000, 96).div_ceil(WORKERS);
    let members = rounds * WORKERS;
    let mut reader = bench.person("keyring").await?;
    let encrypted = json!({
        "preset": "public_chat",
        "initial_state": [{
            "type": "m.room.encryption",
            "content": { "algorithm": "m.megolm.v1.aes-sha2" },
        }],
    });
    let room = Call::post("/_matrix/client/v3/createRoom", &encrypted);
    let room = segment(&text(&reader.wire.json(room).await?, "room_id")?);
    let register = |worker, n| registration_of(&name(worker, n), Some(DEVICE));
    all(bench, rounds, register).await?;
    all(bench, rounds, move |worker, n| {
        let path = format!("/_matrix/client/v3/join/{room}?{}", identity(worker, n));
        Call::post(path, &json!({}))
    })
    .await?;
    let since = reader.sync_token().await?;
    all(bench, rounds, |worker, n| {
        let who = identity(worker, n);
        let path = format!("/_matrix/client/v3/devices/{DEVICE}?{who}");
        Call::put(path, &json!({ "display_name": "renamed" }))
    })
    .await?;

    let path = format!(
        "/_matrix/client/v3/sync?timeout=0&since={}",
        segment(&since)
    );
    let answer = reader.wire.json(Call::get(path.clone())).await?;
    let changed = answer.pointer("/device_lists/changed");
    let changed = changed.and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(
        u64::try_from(changed)? == members,
        "{changed} changed devices instead of {members}"
    );
    let name = format!("sync of {members} changed devices");
    let plan = Plan {
        name: &name,
        warm_up: 5,
        count: bench.scale(200, 20),
        target: Target::default(),
    };
    let row = measure(&bench.server, &plan, vec![reader.wire], move |_, _| {
        Call::get(path.clone())
    });
    Ok(vec![row.await?])
}

/// Each of the connections does so many things.
async fn all(
    bench: &Bench,
    rounds: u64,
    make: impl Fn(usize, u64) -> Call + Send + Sync + 'static,
) -> Result<()> {
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..WORKERS {
        wires.push(bench.appservice().await?);
    }
    drive(wires, 0, rounds, &Arc::new(make)).await.map(drop)
}

fn name(worker: usize, n: u64) -> String {
    format!("changer{worker}_{n}")
}

/// Whom the application service acts for.
fn identity(worker: usize, n: u64) -> String {
    format!("user_id={}", segment(&user_id(&name(worker, n))))
}
