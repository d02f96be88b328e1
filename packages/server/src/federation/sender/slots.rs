//! How many transactions are under way at once, to all servers together.
//!
//! Servers that fail have slots of their own: however many do not answer, those that do never wait
//! for them.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The most transactions under way to servers that answered last time.
const ANSWERING: usize = 256;

/// The most transactions under way to servers that did not.
const FAILING: usize = 64;

/// The slots. Semaphores, because whoever waited longest goes first; they are never closed.
#[derive(Debug)]
pub(super) struct Slots {
    answering: Semaphore,
    failing: Semaphore,
}

/// How a server fared with the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastAttempt {
    /// It took it, or there was none.
    Answered,
    /// It did not.
    Failed,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            answering: Semaphore::new(ANSWERING),
            failing: Semaphore::new(FAILING),
        }
    }
}

impl Slots {
    /// Waits for a slot, which is free again once this is dropped.
    pub(super) async fn take(&self, last: LastAttempt) -> Option<SemaphorePermit<'_>> {
        let slots = match last {
            LastAttempt::Answered => &self.answering,
            LastAttempt::Failed => &self.failing,
        };
        slots.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_fails_waits_for_none_but_their_own() {
        let slots = Slots::default();
        let take = |last| slots.take(last).now_or_never().flatten();
        let failing: Vec<_> = std::iter::from_fn(|| take(LastAttempt::Failed)).collect();
        assert_eq!(failing.len(), FAILING);
        let answering: Vec<_> = std::iter::from_fn(|| take(LastAttempt::Answered)).collect();
        assert_eq!(answering.len(), ANSWERING);
        drop(failing);
        assert!(take(LastAttempt::Failed).is_some());
        assert!(take(LastAttempt::Answered).is_none());
    }
}
