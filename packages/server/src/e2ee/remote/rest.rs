//! Servers that could not be reached a moment ago: whoever waits for one of them need not wait once
//! more, and must not keep the places of those who ask others.

use std::time::Duration;

use quick_cache::sync::Cache;
use ruma::{OwnedServerName, ServerName};
use tokio::time::Instant;

/// The most servers that are remembered.
const MAX_SERVERS: usize = 10_000;

/// How long a server is left alone after the first failure, and at most: clients ask for keys when
/// somebody wants to send a message.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Clone, Copy)]
struct Rest {
    failures: u32,
    until: Instant,
}

/// Servers that are left alone.
pub(super) struct Rests(Cache<OwnedServerName, Rest>);

impl Default for Rests {
    fn default() -> Self {
        Self(Cache::new(MAX_SERVERS))
    }
}

impl Rests {
    pub(super) fn is_resting(&self, server: &ServerName, now: Instant) -> bool {
        self.0.get(server).is_some_and(|rest| now < rest.until)
    }

    /// A server could not be reached. Failures at the same time count as one.
    pub(super) fn note_failure(&self, server: &ServerName, now: Instant) {
        let before = self.0.get(server);
        if before.is_some_and(|rest| now < rest.until) {
            return;
        }
        let failures = before.map_or(0, |rest| rest.failures) + 1;
        let wait = FIRST.saturating_mul(1 << (failures - 1).min(10));
        let until = now + wait.min(LONGEST);
        self.0.insert(server.to_owned(), Rest { failures, until });
    }

    /// A server has answered, or shows that it lives.
    pub(super) fn end(&self, server: &ServerName) {
        self.0.remove(server);
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn a_server_that_fails_is_left_alone_ever_longer_until_it_shows_that_it_lives() {
        let (rests, server, start) = (Rests::default(), server_name!("x"), Instant::now());
        assert!(!rests.is_resting(server, start));
        rests.note_failure(server, start);
        rests.note_failure(server, start);
        assert!(rests.is_resting(server, start));
        let later = start + FIRST;
        assert!(!rests.is_resting(server, later));
        rests.note_failure(server, later);
        assert!(rests.is_resting(server, later + FIRST));
        assert!(!rests.is_resting(server, later + 2 * FIRST));
        let mut now = later;
        for _ in 0..40 {
            now += LONGEST;
            rests.note_failure(server, now);
        }
        assert!(!rests.is_resting(server, now + LONGEST));
        rests.end(server);
        assert!(!rests.is_resting(server, now));
    }
}
