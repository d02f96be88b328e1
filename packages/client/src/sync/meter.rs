//! The engine's figures for the metrics of the process.

use metrics::{counter, gauge};

use super::engine::SyncEngine;

impl SyncEngine {
    /// Sets the process's metrics to what the engine is now. Cheap; called before they are read.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and these stay far below 2^52"
    )]
    pub fn record_metrics(&self) {
        let status = self.status();
        for cache in status.caches {
            let name = cache.name;
            gauge!("matryx_cache_entries", "cache" => name).set(cache.entries as f64);
            gauge!("matryx_cache_bytes", "cache" => name).set(cache.weight as f64);
            counter!("matryx_cache_hits_total", "cache" => name).absolute(cache.hits);
            counter!("matryx_cache_misses_total", "cache" => name).absolute(cache.misses);
            counter!("matryx_cache_evictions_total", "cache" => name).absolute(cache.evictions);
        }
        gauge!("matryx_sync_waiters").set(status.waiters as f64);
        gauge!("matryx_sync_changes").set(status.changes as f64);
        gauge!("matryx_sync_transactions").set(status.transactions as f64);
        gauge!("matryx_sync_lag_entries").set(status.lag as f64);
    }
}
