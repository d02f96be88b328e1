//! Which keys are wanted: for one event or request each.

use std::time::Duration;

use matryx_entity::server_keys::{MAX_VALIDITY, ServerKeys, later};
use ruma::MilliSecondsSinceUnixEpoch;

/// One of these keys, valid at this time.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// Ids of keys; one that is valid is enough.
    pub(super) ids: Vec<String>,
    /// The time at which it must be valid.
    pub(super) at: MilliSecondsSinceUnixEpoch,
}

impl Want {
    /// Do these keys have one?
    pub(super) fn is_met_by(&self, keys: &ServerKeys) -> bool {
        self.ids.iter().any(|id| keys.lookup(id, self.at).is_some())
    }

    /// Could newer keys have one? None is ever valid for longer than [`MAX_VALIDITY`].
    pub(super) fn can_be_met(&self, now: MilliSecondsSinceUnixEpoch) -> bool {
        let is_known_algorithm = |id: &String| id.starts_with("ed25519:");
        self.at <= later(now, MAX_VALIDITY) && self.ids.iter().any(is_known_algorithm)
    }
}

/// When keys were last asked for, and with what success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) at: MilliSecondsSinceUnixEpoch,
    pub(super) failures: u32,
}

/// How long nobody is asked again for the keys of a server that gave them.
const AFTER_SUCCESS: Duration = Duration::from_secs(30);
/// The same after one failure; each further one doubles it.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// The longest that a failure counts.
const LONGEST: Duration = Duration::from_hours(1);

impl Attempt {
    /// Is it time for another one?
    pub(super) fn is_over(&self, now: MilliSecondsSinceUnixEpoch) -> bool {
        let pause = match self.failures {
            0 => AFTER_SUCCESS,
            failures => AFTER_FAILURE
                .saturating_mul(1 << (failures - 1).min(10))
                .min(LONGEST),
        };
        now >= later(self.at, pause)
    }
}

#[cfg(test)]
mod tests {
    use ruma::UInt;

    use super::*;

    #[test]
    fn asks_again_after_a_pause_that_grows_with_failures() {
        let ts = |seconds: u32| MilliSecondsSinceUnixEpoch(UInt::from(seconds * 1000));
        for (failures, pause) in [(0, 30), (1, 30), (2, 60), (3, 120), (8, 3600), (99, 3600)] {
            let attempt = Attempt {
                at: ts(1000),
                failures,
            };
            assert!(!attempt.is_over(ts(1000 + pause - 1)), "{failures}");
            assert!(attempt.is_over(ts(1000 + pause)), "{failures}");
        }
    }
}
