//! Measures one piece of work: latencies seen by the generator, counters of the server process.

use crate::homeserver::Homeserver;
use crate::procfs::Usage;
use crate::wire::{Call, Wire};
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest latency that is told apart: ten minutes.
const LATENCY_MAX_US: u64 = 600_000_000;

/// One line of the result: what was done, how fast, and what it cost the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) operations: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) written_kib: f64,
    /// By how much the server's memory grew at most, where that is of interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grown_mib: Option<f64>,
    /// What the project aims for, where it does.
    #[serde(default, skip_serializing_if = "Target::is_empty")]
    pub(crate) target: Target,
}

/// Upper bounds (throughput: lower bound) that a row is meant to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p50_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) written_kib: Option<f64>,
}

impl Target {
    /// Bounds the server's CPU time per operation.
    pub(crate) fn cpu(cpu_ms: f64) -> Self {
        Self {
            cpu_ms: Some(cpu_ms),
            ..Self::default()
        }
    }

    /// Also bounds the median latency.
    pub(crate) fn p50(self, p50_ms: f64) -> Self {
        Self {
            p50_ms: Some(p50_ms),
            ..self
        }
    }

    /// Also asks for a throughput.
    pub(crate) fn at_least(self, per_second: f64) -> Self {
        Self {
            per_second: Some(per_second),
            ..self
        }
    }

    /// Also bounds what an operation writes to disk.
    pub(crate) fn written(self, written_kib: f64) -> Self {
        Self {
            written_kib: Some(written_kib),
            ..self
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Latencies in microseconds, three significant digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// No latency yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).context("a histogram")?,
        ))
    }

    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Adds all of `other`.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        self.0.add(&other.0).context("merging histograms")
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(quantile)).as_secs_f64() * 1000.0
    }
}

/// A running measurement.
pub(crate) struct Meter {
    pid: u32,
    began: Instant,
    before: Usage,
}

impl Meter {
    /// Begins now.
    pub(crate) fn start(server: &Homeserver) -> Result<Self> {
        let before = Usage::of(server.pid)?;
        Ok(Self {
            pid: server.pid,
            began: Instant::now(),
            before,
        })
    }

    /// Ends now; every recorded latency counts as one operation.
    pub(crate) fn finish(self, name: &str, latencies: &Latencies, target: Target) -> Result<Row> {
        let elapsed = self.began.elapsed();
        let after = Usage::of(self.pid)?;
        let operations = latencies.0.len();
        let count = f64::from(u32::try_from(operations)?.max(1));
        let written = after
            .written_bytes
            .saturating_sub(self.before.written_bytes);
        Ok(Row {
            name: name.to_owned(),
            operations,
            per_second: count / elapsed.as_secs_f64(),
            p50_ms: latencies.quantile_ms(0.5),
            p95_ms: latencies.quantile_ms(0.95),
            p99_ms: latencies.quantile_ms(0.99),
            cpu_ms: (after.cpu_ms - self.before.cpu_ms) / count,
            written_kib: f64::from(u32::try_from(written / 1024)?) / count,
            grown_mib: None,
            target,
        })
    }
}

/// Every worker (one connection each) sends `count` requests, one after another; `make` builds
/// request `n` of worker `worker`, counted from `first`.
pub(crate) async fn drive<F>(
    wires: Vec<Wire>,
    first: u64,
    count: u64,
    make: &Arc<F>,
) -> Result<(Vec<Wire>, Latencies)>
where
    F: Fn(usize, u64) -> Call + Send + Sync + 'static,
{
    let mut workers = JoinSet::new();
    for (worker, mut wire) in wires.into_iter().enumerate() {
        let make = Arc::clone(make);
        workers.spawn(async move {
            let mut latencies = Latencies::new()?;
            for n in first..first + count {
                let call = make(worker, n);
                let began = Instant::now();
                wire.ok(call).await?;
                latencies.record(began.elapsed());
            }
            anyhow::Ok((worker, wire, latencies))
        });
    }
    let mut all = Latencies::new()?;
    let mut wires = Vec::new();
    while let Some(finished) = workers.join_next().await {
        let (worker, wire, latencies) = finished.context("a worker")??;
        all.merge(&latencies)?;
        wires.push((worker, wire));
    }
    wires.sort_by_key(|(worker, _)| *worker);
    Ok((wires.into_iter().map(|(_, wire)| wire).collect(), all))
}

/// What a measured drive is called, how long it warms up and how long it runs, per worker.
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    pub(crate) warm_up: u64,
    pub(crate) count: u64,
    pub(crate) target: Target,
}

/// Drives `plan.warm_up` requests per worker unmeasured, then `plan.count` measured ones.
pub(crate) async fn measure<F>(
    server: &Homeserver,
    plan: &Plan<'_>,
    wires: Vec<Wire>,
    make: F,
) -> Result<Row>
where
    F: Fn(usize, u64) -> Call + Send + Sync + 'static,
{
    let make = Arc::new(make);
    let (wires, _) = drive(wires, 0, plan.warm_up, &make).await?;
    let meter = Meter::start(server)?;
    let (_wires, latencies) = drive(wires, plan.warm_up, plan.count, &make).await?;
    meter.finish(plan.name, &latencies, plan.target)
}

/// Median of a 4 KiB append made durable, which bounds what a single durable commit can take.
pub(crate) fn fdatasync_ms(folder: &Path) -> Result<f64> {
    const ROUNDS: usize = 50;
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut latencies = Latencies::new()?;
    for _ in 0..ROUNDS {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        latencies.record(began.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(latencies.quantile_ms(0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_recorded_and_merged() {
        let mut low = Latencies::new().unwrap();
        let mut high = Latencies::new().unwrap();
        for _ in 0..60 {
            low.record(Duration::from_millis(2));
        }
        for _ in 0..40 {
            high.record(Duration::from_millis(8));
        }
        low.merge(&high).unwrap();
        assert!((low.quantile_ms(0.5) - 2.0).abs() < 0.02);
        assert!((low.quantile_ms(0.95) - 8.0).abs() < 0.02);
    }

    #[test]
    fn a_target_without_bounds_is_not_written() {
        assert!(Target::default().is_empty());
        assert!(!Target::cpu(1.0).is_empty());
    }
}
