//! Time that tests set.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use matryx_entity::clock::Clock;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// A clock that moves only when told to, but for a millisecond at every look, so that nothing
/// happens twice at the same time.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_800_000_000_000))
    }
}

impl TestClock {
    /// Moves the time forward.
    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        let ms = self.0.fetch_add(1, Ordering::Relaxed);
        MilliSecondsSinceUnixEpoch(UInt::try_from(ms).unwrap())
    }
}
