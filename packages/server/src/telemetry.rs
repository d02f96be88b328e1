//! Logs and metrics of the process.
//!
//! Both go out of the process by one way each: logs to standard error, metrics through
//! [`Telemetry::render`] on listeners that serve `metrics`. Neither ever holds a secret.

mod process;

use std::{io::IsTerminal as _, time::Duration};

use matryx_surrealdb::FALSE_ALARMS;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::{ParseError, Targets},
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

pub(crate) use self::process::max_open_files;
use crate::config::{Log, LogFormat};

/// Upper ends of the buckets of every histogram of seconds.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Libraries whose lower levels tell an operator nothing; `log.level` can name them.
const QUIET: [&str; 8] = [
    "surrealdb",
    "hyper",
    "h2",
    "rustls",
    "reqwest",
    "tungstenite",
    "tower",
    "ruma",
];

/// Libraries that warn of what strangers can make as much of as they like.
const TALKATIVE: [&str; 1] = ["ruma_state_res"];

/// How often samples are folded into their buckets, which bounds their memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// A handle to the metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    metrics: PrometheusHandle,
}

/// Why logs or metrics cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` cannot be read.
    #[error("`log.level` is not a level")]
    Level(#[from] ParseError),
    /// Something else has taken the logs of this process.
    #[error("logs are set up already")]
    Logs(#[from] TryInitError),
    /// The metrics cannot be set up.
    #[error("metrics cannot be set up")]
    Metrics(#[from] BuildError),
}

impl Telemetry {
    /// Starts logs and metrics for the whole process; to be called once.
    ///
    /// # Errors
    /// When they run already.
    pub fn start(log: &Log) -> Result<Self, TelemetryError> {
        start_logs(log)?;
        let metrics = recorder()?.install_recorder()?;
        Ok(Self { metrics })
    }

    /// A handle to metrics of its own that nothing records into: for a server inside a test.
    ///
    /// # Errors
    /// Never, as long as the list of buckets is not empty.
    pub fn detached() -> Result<Self, TelemetryError> {
        Ok(Self {
            metrics: recorder()?.build_recorder().handle(),
        })
    }

    /// All metrics in Prometheus's text form, those of the process with current values.
    pub fn render(&self) -> String {
        process::measure();
        self.metrics.render()
    }

    /// Keeps the memory of samples bounded, for ever; to be run beside the server.
    pub async fn upkeep(&self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.metrics.run_upkeep();
        }
    }
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

fn start_logs(log: &Log) -> Result<(), TelemetryError> {
    let registry = tracing_subscriber::registry().with(filter(&log.level)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            registry
                .with(layer.with_ansi(std::io::stderr().is_terminal()))
                .try_init()?;
        }
        LogFormat::Json => {
            registry
                .with(layer.json().flatten_event(true).with_ansi(false))
                .try_init()?;
        }
    }
    Ok(())
}

/// The levels that the operator asked for, over quiet libraries.
fn filter(level: &str) -> Result<Targets, ParseError> {
    let asked = level.parse::<Targets>()?;
    let usual = asked.default_level().unwrap_or(LevelFilter::INFO);
    let quiet = QUIET.map(|library| (library, usual.min(LevelFilter::WARN)));
    Ok(Targets::new()
        .with_default(usual)
        .with_targets(quiet)
        .with_targets(TALKATIVE.map(|library| (library, usual.min(LevelFilter::ERROR))))
        .with_target(FALSE_ALARMS, usual.min(LevelFilter::ERROR))
        .with_targets(asked))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quiet_unless_named() {
        let levels = filter("debug").unwrap();
        assert!(levels.would_enable("matryx_server::api", &Level::DEBUG));
        assert!(!levels.would_enable("surrealdb_core::kvs", &Level::INFO));
        assert!(levels.would_enable("surrealdb_core::kvs", &Level::WARN));
        assert!(!levels.would_enable(FALSE_ALARMS, &Level::WARN));
        assert!(!levels.would_enable("ruma_state_res::state_res", &Level::WARN));
        let levels = filter("error,surrealdb=trace,matryx_server::api=info").unwrap();
        assert!(levels.would_enable("surrealdb_core::kvs", &Level::TRACE));
        assert!(levels.would_enable("matryx_server::api::client", &Level::INFO));
        assert!(!levels.would_enable("matryx_server::room", &Level::WARN));
        assert!(!levels.would_enable("hyper", &Level::WARN));
        assert!(filter("matryx=loud").is_err());
    }

    #[test]
    fn metrics_are_rendered_with_buckets() {
        let recorder = recorder().unwrap().build_recorder();
        let telemetry = Telemetry {
            metrics: recorder.handle(),
        };
        let text = metrics::with_local_recorder(&recorder, || {
            metrics::counter!("matryx_test_total").increment(3);
            metrics::histogram!("matryx_test_seconds").record(0.002);
            telemetry.render()
        });
        assert!(text.contains("matryx_test_total 3"), "{text}");
        assert!(
            text.contains("matryx_test_seconds_bucket{le=\"0.0025\"} 1"),
            "{text}"
        );
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
