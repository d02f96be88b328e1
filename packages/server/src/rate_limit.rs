//! Rate limits: how often somebody may do something.
//!
//! A token bucket per kind of act and per key (a user, an address, an account that somebody tries
//! to log in to). A full bucket is not kept, so memory is bounded by those who act right now, and
//! by [`MAX_BUCKETS`] whatever happens.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use matryx_entity::clock::Clock;
use parking_lot::Mutex;
use ruma::UserId;
use thiserror::Error;

use crate::{
    caller::Requester,
    config::{Rate, RateLimit},
};

/// How many buckets that are not full are kept at once.
const MAX_BUCKETS: usize = 100_000;

/// A wait that is no more than the rounding of time stamps, in milliseconds.
const ROUNDING: f64 = 0.01;

/// An act that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Logging in, or trying to with a name that no account can have.
    Login,
    /// A login to an account that failed.
    FailedLogin,
    /// Registering, or asking whether a name is free.
    Register,
    /// Sending an event.
    Send,
    /// Creating a room.
    CreateRoom,
    /// Joining a room or knocking on it.
    Join,
    /// Inviting somebody.
    Invite,
    /// Inviting somebody of this server, from another.
    InviteFromServer,
}

/// Too often: try again after this time.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too many requests; try again in {} ms", retry_after.as_millis())]
pub struct Limited {
    /// How long to wait.
    pub retry_after: Duration,
}

/// The buckets of everybody. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RateLimits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: RateLimit,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    /// For each bucket the time, in milliseconds since the epoch, at which it will be full again.
    /// A hash stands for the key: a collision makes two parties share a bucket, once in 2^64.
    /// A plain mutex, held for one lookup; nothing is awaited under it.
    full_at: Mutex<HashMap<u64, f64>>,
}

impl RateLimits {
    /// Empty books.
    pub fn new(config: RateLimit, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                clock,
                hasher: RandomState::new(),
                full_at: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// Counts an act of a user, unless the application service behind it is exempt.
    ///
    /// # Errors
    /// [`Limited`] when the user has to wait; the act is not counted then.
    pub fn act(&self, act: Act, caller: &Requester) -> Result<(), Limited> {
        match &caller.appservice {
            Some(appservice) if !appservice.is_rate_limited() => Ok(()),
            _ => self.take(act, caller.user_id.as_str()),
        }
    }

    /// Counts an act of an address. IPv6 addresses count by their /64, which is one customer.
    ///
    /// # Errors
    /// [`Limited`] when the address has to wait; the act is not counted then.
    pub fn act_from(&self, act: Act, ip: IpAddr) -> Result<(), Limited> {
        self.take(act, &network(ip))
    }

    /// Refuses a login to an account that somebody at this address has failed to log in to too
    /// often. Others behind the same address may go on, and so may the owner from elsewhere.
    ///
    /// # Errors
    /// [`Limited`] when there were too many failures.
    pub fn check_failed_logins(&self, account: &UserId, ip: IpAddr) -> Result<(), Limited> {
        let key = format!("{account} {}", network(ip));
        self.bucket(Act::FailedLogin, &key, Spend::Nothing)
    }

    /// Notes that a login to an account failed.
    pub fn note_failed_login(&self, account: &UserId, ip: IpAddr) {
        let key = format!("{account} {}", network(ip));
        // Whether this emptied the bucket is for the next check to say.
        let _emptied = self.bucket(Act::FailedLogin, &key, Spend::One);
    }

    /// Counts an act under a key.
    ///
    /// # Errors
    /// [`Limited`] when the bucket is empty; the act is not counted then.
    pub fn take(&self, act: Act, key: &str) -> Result<(), Limited> {
        self.bucket(act, key, Spend::One)
    }

    fn bucket(&self, act: Act, key: &str, spend: Spend) -> Result<(), Limited> {
        let Some(rate) = self.rate(act) else {
            return Ok(());
        };
        let now = f64::from(self.inner.clock.now().get());
        let period = rate.period.as_secs_f64() * 1e3;
        let step = period / f64::from(rate.count.max(1));
        let id = self.inner.hasher.hash_one((act, key));
        let mut buckets = self.inner.full_at.lock();
        let full_at = buckets.get(&id).copied().unwrap_or(now).max(now);
        let full_after = full_at + step;
        let wait = full_after - now - period;
        if wait > ROUNDING {
            return Err(Limited {
                retry_after: Duration::from_secs_f64(wait / 1e3).max(Duration::from_millis(1)),
            });
        }
        if spend == Spend::One {
            if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&id) {
                make_room(&mut buckets, now);
            }
            buckets.insert(id, full_after);
        }
        Ok(())
    }

    fn rate(&self, act: Act) -> Option<Rate> {
        let config = &self.inner.config;
        config.enabled.then_some(match act {
            Act::Login | Act::FailedLogin => config.login,
            Act::Register => config.registration,
            Act::Send => config.send,
            Act::CreateRoom => config.create_room,
            Act::Join => config.join,
            Act::Invite => config.invite,
            Act::InviteFromServer => config.invite_from_server,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spend {
    One,
    Nothing,
}

/// Drops full buckets, and if that frees little, those that are closest to full.
fn make_room(buckets: &mut HashMap<u64, f64>, now: f64) {
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() > MAX_BUCKETS / 2 {
        let mut times: Vec<f64> = buckets.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable_by(middle, f64::total_cmp);
        let median = *median;
        buckets.retain(|_, full_at| *full_at > median);
    }
}

fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests;
