//! The metrics of the process that Prometheus expects, read from `/proc`.
//!
//! Where there is no `/proc` they are missing, and nothing else changes.

use std::fs;

/// Clock ticks in a second in `/proc`: fixed by Linux for all architectures that Rust serves.
const TICKS: f64 = 100.0;

/// Bytes in the unit of `/proc/self/status`.
const KIB: u64 = 1024;

/// Sets the gauges to what they are now.
pub(super) fn measure() {
    if let Some(kib) = status_kib("VmRSS:") {
        metrics::gauge!("process_resident_memory_bytes").set(precise(kib * KIB));
    }
    if let Some(kib) = status_kib("VmSize:") {
        metrics::gauge!("process_virtual_memory_bytes").set(precise(kib * KIB));
    }
    if let Some(seconds) = cpu_seconds() {
        metrics::gauge!("process_cpu_seconds_total").set(seconds);
    }
    if let Some(open) = open_files() {
        metrics::gauge!("process_open_fds").set(precise(open));
    }
    if let Some(limit) = max_open_files() {
        metrics::gauge!("process_max_fds").set(precise(limit));
    }
}

/// The number of files that this process may have open.
pub(crate) fn max_open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<u64> {
    fs::read_dir("/proc/self/fd")
        .ok()
        .map(|files| u64::try_from(files.count()).unwrap_or(u64::MAX))
}

fn status_kib(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process, in brackets, may hold anything; fields are counted behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user = fields.next()?.parse::<u64>().ok()?;
    let system = fields.next()?.parse::<u64>().ok()?;
    Some(precise(user + system) / TICKS)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; these stay below 2^53"
)]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_found() {
        assert!(status_kib("VmRSS:").unwrap() > 0);
        assert!(status_kib("VmSize:").unwrap() > 0);
        assert!(open_files().unwrap() > 2);
        assert!(max_open_files().unwrap() > 2);
        assert!(cpu_seconds().unwrap() >= 0.0);
    }
}
