use std::sync::atomic::{AtomicU64, Ordering};

use ruma::{MilliSecondsSinceUnixEpoch, UInt, user_id};

use super::*;

#[derive(Debug, Default)]
struct SetClock(AtomicU64);

impl SetClock {
    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        let ms = 1_800_000_000_000 + self.0.load(Ordering::Relaxed);
        MilliSecondsSinceUnixEpoch(UInt::try_from(ms).unwrap())
    }
}

fn limits(enabled: bool) -> (RateLimits, Arc<SetClock>) {
    let clock = Arc::new(SetClock::default());
    let rate = Rate::per(3, 3);
    let config = RateLimit {
        enabled,
        login: rate,
        registration: rate,
        send: rate,
        create_room: rate,
        join: rate,
        invite: rate,
        invite_from_server: rate,
    };
    (RateLimits::new(config, Arc::clone(&clock) as _), clock)
}

#[test]
fn allows_a_burst_and_then_the_rate() {
    let (limits, clock) = limits(true);
    for _ in 0..3 {
        limits.take(Act::Send, "a").unwrap();
    }
    let refused = limits.take(Act::Send, "a").unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(1));
    clock.advance(999);
    assert!(limits.take(Act::Send, "a").is_err());
    clock.advance(1);
    limits.take(Act::Send, "a").unwrap();
    assert!(limits.take(Act::Send, "a").is_err());
    clock.advance(3_600_000);
    for _ in 0..3 {
        limits.take(Act::Send, "a").unwrap();
    }
    assert!(limits.take(Act::Send, "a").is_err());
}

#[test]
fn who_waits_as_long_as_told_is_served() {
    let (limits, clock) = limits(true);
    for _ in 0..3 {
        limits.take(Act::Send, "a").unwrap();
    }
    clock.advance(123);
    let wait = limits.take(Act::Send, "a").unwrap_err().retry_after;
    clock.advance(u64::try_from(wait.as_millis()).unwrap());
    limits.take(Act::Send, "a").unwrap();
}

#[test]
fn keeps_keys_and_acts_apart() {
    let (limits, _) = limits(true);
    for _ in 0..3 {
        limits.take(Act::Send, "a").unwrap();
    }
    limits.take(Act::Send, "b").unwrap();
    limits.take(Act::Join, "a").unwrap();
}

#[test]
fn does_nothing_when_switched_off() {
    let (limits, _) = limits(false);
    for _ in 0..100 {
        limits.take(Act::Send, "a").unwrap();
    }
}

#[test]
fn a_stranger_cannot_lock_the_owner_or_a_neighbor_out() {
    let (limits, _) = limits(true);
    let (alice, bob) = (user_id!("@alice:x"), user_id!("@bob:x"));
    let attacker = "10.0.0.1".parse().unwrap();
    let elsewhere = "10.0.0.2".parse().unwrap();
    for _ in 0..10 {
        limits.note_failed_login(alice, attacker);
    }
    assert!(limits.check_failed_logins(alice, attacker).is_err());
    limits.check_failed_logins(bob, attacker).unwrap();
    limits.check_failed_logins(alice, elsewhere).unwrap();
}

#[test]
fn counts_ipv6_by_network() {
    let (limits, _) = limits(true);
    for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        limits.act_from(Act::Login, host.parse().unwrap()).unwrap();
    }
    let act = |host: &str| limits.act_from(Act::Login, host.parse().unwrap());
    assert!(act("2001:db8::4").is_err());
    act("2001:db8:0:1::1").unwrap();
}

#[test]
fn holds_a_bounded_number_of_buckets() {
    let (limits, _) = limits(true);
    for key in 0..MAX_BUCKETS + 1000 {
        limits.take(Act::Send, &key.to_string()).unwrap();
    }
    assert!(limits.inner.full_at.lock().len() <= MAX_BUCKETS);
}

#[test]
fn makes_room_by_forgetting_the_least_spent() {
    let (limits, clock) = limits(true);
    for _ in 0..3 {
        limits.take(Act::Send, "busy").unwrap();
    }
    clock.advance(1);
    for key in 0..MAX_BUCKETS {
        limits.take(Act::Send, &key.to_string()).unwrap();
    }
    assert!(limits.take(Act::Send, "busy").is_err());
}
