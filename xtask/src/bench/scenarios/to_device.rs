//! Messages to devices: sending them, one or many a request, and a device that gets them.

use crate::bench::fixture::{Bench, Person};
use crate::bench::meter::{Latencies, Meter, Plan, Row, Target, drive, measure};
use crate::wire::{Call, segment};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::time::Instant;

/// Who gets messages.
const RECEIVERS: u64 = 20;

/// The most messages of one response.
const PAGE: u64 = 100;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut receivers = bench.people("device", RECEIVERS).await?;
    let names: Vec<String> = receivers
        .iter()
        .map(|person| person.user_id.clone())
        .collect();
    let mut rows = Vec::new();
    let load = |senders, recipients, requests, target| Load {
        senders,
        recipients,
        requests,
        target,
    };
    let none = Target::default();
    for load in [
        load(1, 1, 2000, none),
        // A thousand messages a second.
        load(64, 1, 12_800, none.at_least(1000.0)),
        load(16, 20, 1600, none.at_least(50.0)),
    ] {
        rows.push(send(bench, &load, names.clone()).await?);
    }
    let receiver = receivers.pop().context("no receiver")?;
    rows.push(receive(bench, receiver).await?);
    Ok(rows)
}

/// Senders, devices in a request, requests in all, and what is asked of it.
struct Load {
    senders: u64,
    recipients: usize,
    requests: u64,
    target: Target,
}

async fn send(bench: &Bench, load: &Load, names: Vec<String>) -> Result<Row> {
    let Load {
        senders,
        recipients,
        requests,
        target,
    } = *load;
    let people = bench.people(&format!("courier{senders}_"), senders).await?;
    let count = (bench.scale(requests, requests / 10) / senders).max(1);
    let name = format!("to-device, {senders} × {recipients} devices");
    let plan = Plan {
        name: &name,
        warm_up: count.div_ceil(20),
        count,
        target,
    };
    let wires = people.into_iter().map(|person| person.wire).collect();
    let row = measure(&bench.server, &plan, wires, move |worker, n| {
        let first = usize::try_from(n).unwrap_or(0).wrapping_add(worker);
        request(&names, first, recipients, n)
    });
    row.await
}

/// A request with a message for each of `count` users, from number `first` on.
fn request(names: &[String], first: usize, count: usize, txn: u64) -> Call {
    let content = json!({
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "ciphertext": { "key": { "body": "x".repeat(700), "type": 1 } },
        "sender_key": "x".repeat(43),
    });
    let users = names.iter().cycle().skip(first % names.len().max(1));
    let messages: Map<String, Value> = users
        .take(count)
        .map(|user| (user.clone(), json!({ "*": content })))
        .collect();
    Call::put(
        format!("/_matrix/client/v3/sendToDevice/m.room.encrypted/{txn}"),
        &json!({ "messages": messages }),
    )
}

/// A device reads what waits for it, page by page, and shows each time that it has the last page.
async fn receive(bench: &Bench, mut receiver: Person) -> Result<Row> {
    let pages = bench.scale(50, 5);
    // What is there already is of no interest.
    let mut since = receiver.sync_token().await?;
    while !page(&mut receiver, &mut since).await?.is_empty() {}
    let sender = bench.person("courier").await?;
    let names = vec![receiver.user_id.clone()];
    let messages = Arc::new(move |_, n| request(&names, 0, 1, n));
    drive(vec![sender.wire], 0, pages * PAGE, &messages).await?;
    let mut latencies = Latencies::new()?;
    let meter = Meter::start(&bench.server)?;
    for _ in 0..pages {
        let began = Instant::now();
        let count = page(&mut receiver, &mut since).await?.len();
        latencies.record(began.elapsed());
        ensure!(u64::try_from(count)? == PAGE, "{count} messages in a page");
    }
    meter.finish(
        "sync of 100 to-device messages",
        &latencies,
        Target::default(),
    )
}

async fn page(receiver: &mut Person, since: &mut String) -> Result<Vec<Value>> {
    let path = format!("/_matrix/client/v3/sync?timeout=0&since={}", segment(since));
    let mut answer = receiver.wire.json(Call::get(path)).await?;
    let next = answer.get("next_batch").and_then(Value::as_str);
    next.context("no token")?.clone_into(since);
    let events = answer.pointer_mut("/to_device/events").map(Value::take);
    Ok(serde_json::from_value(events.unwrap_or_else(|| json!([])))?)
}
