//! Long polls that sleep until something may concern them.
//!
//! A waiter registers before it looks for news, so that a change between the look and the sleep
//! leaves a permit in its bell: no wake-up is lost, and any number of changes until it runs again
//! is one wake-up.

use std::{collections::HashMap, sync::Arc};

use imbl::OrdSet;
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::Notify;

/// The sleeping and working long polls, by user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiters {
    /// Guards the registrations; held for the length of one batch's wake-ups at most.
    by_user: Arc<Mutex<HashMap<OwnedUserId, Vec<Arc<Notify>>>>>,
}

/// One registered long poll; dropping it, in whatever way, takes it out.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiters: Waiters,
    user: OwnedUserId,
    bell: Arc<Notify>,
}

impl Waiters {
    /// Registers a long poll of a user.
    pub(crate) fn register(&self, user: &UserId) -> Waiter {
        let bell = Arc::new(Notify::new());
        let mut by_user = self.by_user.lock();
        by_user
            .entry(user.to_owned())
            .or_default()
            .push(Arc::clone(&bell));
        Waiter {
            waiters: self.clone(),
            user: user.to_owned(),
            bell,
        }
    }

    /// How many long polls are registered.
    pub(crate) fn len(&self) -> usize {
        self.by_user.lock().values().map(Vec::len).sum()
    }

    /// Wakes the long polls of one user.
    pub(crate) fn wake_user(&self, user: &UserId) {
        if let Some(bells) = self.by_user.lock().get(user) {
            ring(bells);
        }
    }

    /// Wakes all users who have a long poll and are in `users`.
    pub(crate) fn wake_any_of(&self, users: &OrdSet<OwnedUserId>) {
        let by_user = self.by_user.lock();
        if users.len() <= by_user.len() {
            for bells in users.iter().filter_map(|user| by_user.get(user)) {
                ring(bells);
            }
        } else {
            for (_, bells) in by_user.iter().filter(|(user, _)| users.contains(*user)) {
                ring(bells);
            }
        }
    }

    /// Wakes all users for whom `concerned` holds.
    pub(crate) fn wake_where(&self, concerned: impl Fn(&OwnedUserId) -> bool) {
        for (_, bells) in self
            .by_user
            .lock()
            .iter()
            .filter(|(user, _)| concerned(user))
        {
            ring(bells);
        }
    }
}

fn ring(bells: &[Arc<Notify>]) {
    for bell in bells {
        bell.notify_one();
    }
}

impl Waiter {
    /// Sleeps until the next wake-up since the last one that was taken.
    pub(crate) async fn woken(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut by_user = self.waiters.by_user.lock();
        if let Some(bells) = by_user.get_mut(&self.user) {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_wake_up_before_the_sleep_is_kept_and_many_are_one() {
        let waiters = Waiters::default();
        let waiter = waiters.register(user_id!("@a:x"));
        waiters.wake_user(user_id!("@a:x"));
        waiters.wake_user(user_id!("@a:x"));
        assert!(waiter.woken().now_or_never().is_some());
        assert!(waiter.woken().now_or_never().is_none());
    }

    #[test]
    fn only_those_concerned_wake_whichever_side_is_larger() {
        let waiters = Waiters::default();
        let a = waiters.register(user_id!("@a:x"));
        let b = waiters.register(user_id!("@b:x"));
        let members: OrdSet<OwnedUserId> = [user_id!("@a:x").to_owned()].into_iter().collect();
        waiters.wake_any_of(&members);
        assert!(a.woken().now_or_never().is_some());
        assert!(b.woken().now_or_never().is_none());
        let many: OrdSet<OwnedUserId> = (0..9)
            .map(|nth| OwnedUserId::try_from(format!("@u{nth}:x")).unwrap())
            .chain([user_id!("@b:x").to_owned()])
            .collect();
        waiters.wake_any_of(&many);
        assert!(a.woken().now_or_never().is_none());
        assert!(b.woken().now_or_never().is_some());
    }

    #[test]
    fn a_dropped_waiter_leaves_nothing_behind() {
        let waiters = Waiters::default();
        let waiter = waiters.register(user_id!("@a:x"));
        assert_eq!(waiters.len(), 1);
        drop(waiter);
        assert_eq!(waiters.len(), 0);
        assert!(waiters.by_user.lock().is_empty());
    }
}
