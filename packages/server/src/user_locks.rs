//! Locks by user: changes of what belongs to one user happen one after another.

use std::hash::{BuildHasher, RandomState};

use ruma::UserId;
use tokio::sync::{Mutex, MutexGuard};

/// How many locks the users share. Two users rarely have the same one, and then only wait.
const LOCKS: usize = 256;

/// One of the locks is held while something of a user is read, changed and written. Async, because
/// the commit is awaited under it; fair, so that a user's changes happen in the order of arrival.
pub struct UserLocks {
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for UserLocks {
    fn default() -> Self {
        Self {
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl UserLocks {
    /// Waits for the user's lock.
    pub async fn lock(&self, user: &UserId) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one(user.as_str());
        let index = usize::try_from(hash % LOCKS as u64).unwrap_or(0);
        match self.locks.get(index) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }
}
