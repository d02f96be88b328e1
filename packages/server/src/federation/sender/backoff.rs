//! How long to leave a server alone that does not answer.

use std::time::Duration;

use crate::config::Retry;

/// The wait after so many failures: twice as long after each, within the configured bounds, and
/// spread by `chance` (from 0 to 1) so that servers that went away together are not tried together.
pub(crate) fn wait(retry: &Retry, failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let wait = retry
        .first
        .saturating_mul(1 << doublings)
        .min(retry.longest);
    let spread = 0.75 + chance.clamp(0.0, 1.0) / 2.0;
    wait.mul_f64(spread).min(retry.longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_a_second_to_an_hour_and_no_further() {
        let retry = Retry {
            first: Duration::from_secs(1),
            longest: Duration::from_hours(1),
        };
        assert_eq!(wait(&retry, 1, 0.5), Duration::from_secs(1));
        assert_eq!(wait(&retry, 3, 0.5), Duration::from_secs(4));
        assert_eq!(wait(&retry, 1, 0.0), Duration::from_millis(750));
        assert_eq!(wait(&retry, 1, 1.0), Duration::from_millis(1250));
        for failures in [13, 40, u32::MAX] {
            assert_eq!(wait(&retry, failures, 0.5), Duration::from_hours(1));
            assert_eq!(wait(&retry, failures, 1.0), Duration::from_hours(1));
        }
        assert_eq!(wait(&retry, 0, 0.5), Duration::from_secs(1));
    }
}
