//! Time that tests set.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use matryx_entity::clock::Clock;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// A clock that moves only when told to, but for a millisecond at every look, so that nothing
/// happens twice at the same time.
#[derive(Debug)]
pub(crate) struct TestClock {
    ms: AtomicU64,
    stands: AtomicBool,
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            ms: AtomicU64::new(1_800_000_000_000),
            stands: AtomicBool::new(false),
        }
    }
}

impl TestClock {
    /// Moves the time forward.
    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lets looks no longer move the time.
    pub(crate) fn stop(&self) {
        self.stands.store(true, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        let step = u64::from(!self.stands.load(Ordering::Relaxed));
        let ms = self.ms.fetch_add(step, Ordering::Relaxed);
        MilliSecondsSinceUnixEpoch(UInt::try_from(ms).unwrap())
    }
}
