//! From a send to the answers of waiting long polls.

use crate::bench::fixture::{Bench, Person, event};
use crate::bench::meter::{Latencies, Meter, Row, Target};
use crate::wire::{Call, segment};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for one delivery to all.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let cases = [
        (1, bench.scale(500, 50), Target::cpu(2.0).p50(3.0)),
        (10, bench.scale(300, 30), Target::cpu(0.4).p50(6.0)),
        (100, bench.scale(100, 10), Target::cpu(0.15).p50(25.0)),
    ];
    let mut rows = Vec::new();
    for (receivers, rounds, target) in cases {
        rows.push(one(bench, receivers, rounds, target).await?);
    }
    Ok(rows)
}

/// What the receivers share: when the current round's message was sent, in microseconds since
/// `began`.
struct Round {
    began: Instant,
    sent_us: AtomicU64,
}

/// What a receiver tells the sender.
enum Word {
    /// It is about to wait for the next message.
    Waiting,
    /// The message of a round arrived after this time.
    Received(Duration),
}

async fn one(bench: &Bench, receivers: u64, rounds: u64, target: Target) -> Result<Row> {
    let mut sender = bench.person(&format!("teller{receivers}")).await?;
    let room_id = sender.create_room("delivery").await?;
    let mut people = bench
        .people(&format!("listener{receivers}_"), receivers)
        .await?;
    for person in &mut people {
        person.join(&room_id).await?;
    }
    let round = Arc::new(Round {
        began: Instant::now(),
        sent_us: AtomicU64::new(0),
    });
    let (tell, words) = mpsc::channel(1024);
    let mut listeners = JoinSet::new();
    for mut person in people {
        let since = person.sync_token().await?;
        listeners.spawn(listen(
            person,
            since,
            rounds,
            Arc::clone(&round),
            tell.clone(),
        ));
    }
    drop(tell);

    let mut tally = Tally {
        words,
        waiting: 0,
        received: 0,
        latencies: Latencies::new()?,
    };
    let meter = Meter::start(&bench.server)?;
    for n in 0..rounds {
        tally.until(|tally| tally.waiting == receivers).await?;
        (tally.waiting, tally.received) = (0, 0);
        // They have said so just before their requests; let those arrive.
        sleep(Duration::from_millis(3) + Duration::from_micros(150 * receivers)).await;
        let sent = u64::try_from(round.began.elapsed().as_micros())?;
        round.sent_us.store(sent, Ordering::Release);
        let content = json!({ "msgtype": "m.text", "body": marker(n) });
        sender
            .wire
            .ok(event(&room_id, &format!("r{n}"), &content))
            .await?;
        tally.until(|tally| tally.received == receivers).await?;
    }
    let row = meter.finish(
        &format!("send → {receivers} waiting /sync"),
        &tally.latencies,
        target,
    );
    while let Some(ended) = listeners.join_next().await {
        ended.context("a receiver")??;
    }
    row
}

/// What the sender heard in the current round.
struct Tally {
    words: mpsc::Receiver<Word>,
    waiting: u64,
    received: u64,
    latencies: Latencies,
}

impl Tally {
    /// Hears words until `enough`.
    async fn until(&mut self, enough: impl Fn(&Self) -> bool) -> Result<()> {
        while !enough(self) {
            let word = timeout(LIMIT, self.words.recv())
                .await
                .context("a delivery is missing")?;
            match word.context("every receiver has ended")? {
                Word::Waiting => self.waiting += 1,
                Word::Received(latency) => {
                    self.latencies.record(latency);
                    self.received += 1;
                }
            }
        }
        Ok(())
    }
}

/// Waits for each round's message in turn with long polls.
async fn listen(
    mut person: Person,
    mut since: String,
    rounds: u64,
    round: Arc<Round>,
    tell: mpsc::Sender<Word>,
) -> Result<()> {
    for n in 0..rounds {
        let marker = marker(n);
        tell.send(Word::Waiting).await?;
        loop {
            let path = format!(
                "/_matrix/client/v3/sync?timeout=30000&since={}",
                segment(&since)
            );
            let body = person.wire.ok(Call::get(path)).await?;
            let now = u64::try_from(round.began.elapsed().as_micros())?;
            since = serde_json::from_slice::<Batch>(&body)?.next_batch;
            if std::str::from_utf8(&body)?.contains(&marker) {
                let sent = round.sent_us.load(Ordering::Acquire);
                let latency = Duration::from_micros(now.saturating_sub(sent));
                tell.send(Word::Received(latency)).await?;
                break;
            }
        }
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct Batch {
    next_batch: String,
}

/// The text of round `n`'s message.
fn marker(n: u64) -> String {
    format!("round {n} is told")
}
