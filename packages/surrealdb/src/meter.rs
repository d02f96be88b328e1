//! Counts what one task asks of the database, for the line that is logged about a request.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

tokio::task_local! {
    static METER: Arc<Meter>;
}

/// What the futures under [`Meter::scope`] asked of the database.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    micros: AtomicU64,
}

impl Meter {
    /// Runs a future, counting its database calls here. Tasks that it spawns are not counted.
    pub fn scope<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        METER.scope(self, future)
    }

    /// How many queries and commits were awaited.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How long they took in sum.
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

/// Counts one call, if somebody counts here.
pub(crate) fn count(took: Duration) {
    // Outside of a scope there is nobody to count for.
    let _nobody = METER.try_with(|meter| {
        meter.calls.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        meter.micros.fetch_add(micros, Ordering::Relaxed);
    });
}
