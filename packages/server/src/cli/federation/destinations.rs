//! `matryx federation destinations` and `retry`: how other servers fare with what is sent to them.
//!
//! A running server is asked; of one that does not run, the database tells.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use matryx_entity::{clock::Clock as _, destination::Destination};
use matryx_surrealdb::{KeyRange, Store};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName};

use super::super::{Loaded, block_on};
use crate::{
    clock::SystemClock,
    control::{self, Order, Reply},
    federation::sender::DestinationStatus,
};

pub(super) fn list(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let all = block_on(async {
        let reply = ask(loaded, &Order::Destinations).await?;
        match reply {
            Some(Reply::Destinations(all)) => Ok(all),
            Some(Reply::Retried(_)) => anyhow::bail!("the server gave another answer"),
            None => read(loaded).await,
        }
    })?;
    if all.is_empty() {
        println!("nothing waits for another server");
    }
    let now = SystemClock.now();
    for destination in &all {
        println!("{}", describe(destination, now));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn retry(loaded: &Loaded, server: Option<OwnedServerName>) -> anyhow::Result<ExitCode> {
    let order = Order::Retry { server };
    match block_on(async { ask(loaded, &order).await })? {
        Some(Reply::Retried(count)) => {
            println!("servers that are tried now: {count}");
            Ok(ExitCode::SUCCESS)
        }
        Some(Reply::Destinations(_)) => anyhow::bail!("the server gave another answer"),
        None => anyhow::bail!("the server does not run; when it starts it tries all of them"),
    }
}

async fn ask(loaded: &Loaded, order: &Order) -> anyhow::Result<Option<Reply>> {
    let reply = control::ask(&loaded.config.data_dir, order).await;
    reply.context("the running server does not answer")
}

/// What the last process wrote down.
async fn read(loaded: &Loaded) -> anyhow::Result<Vec<DestinationStatus>> {
    let store = Store::open(&loaded.config.store_config()).await?;
    let records: Result<Vec<Destination>, _> = store.range(KeyRange::all()).await;
    store.close().await;
    let records = records?.into_iter().map(|record| DestinationStatus {
        server: record.server,
        queued: 0,
        lags: true,
        failures: record.failures,
        failing_since: Some(record.failing_since),
        retry_at: Some(record.retry_at),
        reason: Some(record.reason),
    });
    Ok(records.collect())
}

/// One line for one server.
fn describe(status: &DestinationStatus, now: MilliSecondsSinceUnixEpoch) -> String {
    let server = &status.server;
    let between = |from: MilliSecondsSinceUnixEpoch, to: MilliSecondsSinceUnixEpoch| {
        span(Duration::from_millis(
            to.get().saturating_sub(from.get()).into(),
        ))
    };
    if let (Some(since), Some(retry_at), Some(reason)) =
        (status.failing_since, status.retry_at, &status.reason)
    {
        let (failures, since) = (status.failures, between(since, now));
        let next = between(now, retry_at);
        return format!(
            "{server}: failed attempts: {failures} in {since}, the next in {next}: {reason}"
        );
    }
    if status.lags {
        format!("{server}: catches up")
    } else {
        format!("{server}: events on their way: {}", status.queued)
    }
}

/// A length of time as a person says it, to its largest unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..=119 => (seconds, "s"),
        120..=7_199 => (seconds / 60, "m"),
        7_200..=172_799 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count}{unit}")
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, uint};

    use super::*;

    #[test]
    fn tells_how_a_server_fares() {
        let mut status = DestinationStatus {
            server: server_name!("other.test").to_owned(),
            queued: 3,
            lags: false,
            failures: 0,
            failing_since: None,
            retry_at: None,
            reason: None,
        };
        let now = MilliSecondsSinceUnixEpoch(uint!(10_000_000));
        assert_eq!(describe(&status, now), "other.test: events on their way: 3");
        status.lags = true;
        assert_eq!(describe(&status, now), "other.test: catches up");
        status.failures = 7;
        status.failing_since = Some(MilliSecondsSinceUnixEpoch(uint!(1_000_000)));
        status.retry_at = Some(MilliSecondsSinceUnixEpoch(uint!(10_240_000)));
        status.reason = Some("no answer".to_owned());
        assert_eq!(
            describe(&status, now),
            "other.test: failed attempts: 7 in 2h, the next in 4m: no answer"
        );
    }

    #[test]
    fn spans_have_one_unit() {
        let spans = [0, 119, 120, 7_200, 172_800].map(|it| span(Duration::from_secs(it)));
        assert_eq!(spans, ["0s", "119s", "2m", "2h", "2d"]);
    }
}
