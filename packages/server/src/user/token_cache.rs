//! Access tokens in memory, so that proving a caller reads nothing.
//!
//! An entry is valid until its user is marked stale: every change of a user's tokens or account
//! reaches this cache through the commit log. The mark is shared by all entries of the user, so a
//! revocation costs one lookup however many tokens there are.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use matryx_entity::token_hash::TokenHash;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId};

use crate::caller::Requester;

/// What a token is worth.
#[derive(Clone, Debug)]
pub(super) struct CachedToken {
    pub(super) requester: Requester,
    pub(super) locked: bool,
    pub(super) suspended: bool,
    pub(super) expires_ts: Option<MilliSecondsSinceUnixEpoch>,
}

struct Entry {
    token: CachedToken,
    stale: Arc<AtomicBool>,
}

/// The cache.
pub(super) struct TokenCache {
    entries: Cache<TokenHash, Arc<Entry>>,
    /// The mark that the entries of a user share. A plain mutex: held for one lookup, on a miss
    /// and on a revocation only.
    marks: Mutex<Marks>,
    /// Counts revocations: what was read before one is not kept after it.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Marks {
    by_user: HashMap<OwnedUserId, Weak<AtomicBool>>,
    /// Marks that nobody holds any more are dropped when there are this many.
    sweep_at: usize,
}

/// A moment before something was read.
#[derive(Clone, Copy)]
pub(super) struct Epoch(u64);

impl TokenCache {
    /// A cache for `capacity` tokens.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: Cache::new(capacity),
            marks: Mutex::default(),
            epoch: AtomicU64::new(0),
        }
    }

    /// What is known of a token.
    pub(super) fn get(&self, hash: TokenHash) -> Option<CachedToken> {
        let entry = self.entries.get(&hash);
        let fresh = entry.filter(|entry| !entry.stale.load(Ordering::Acquire));
        let outcome = if fresh.is_some() { "hit" } else { "miss" };
        metrics::counter!("matryx_cache_requests_total", "cache" => "token", "outcome" => outcome)
            .increment(1);
        fresh.map(|entry| entry.token.clone())
    }

    /// Call before reading what [`TokenCache::insert`] is to keep.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Keeps what was read since `read_at`, unless something was revoked meanwhile.
    pub(super) fn insert(&self, hash: TokenHash, token: CachedToken, read_at: Epoch) {
        let stale = self.mark(&token.requester.user_id);
        // A revocation that comes after this look finds the mark.
        if self.epoch.load(Ordering::Acquire) == read_at.0 {
            self.entries.insert(hash, Arc::new(Entry { token, stale }));
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("matryx_cache_entries", "cache" => "token")
                .set(self.entries.len() as f64);
        }
    }

    /// Forgets everything that is known of a user's tokens.
    pub(super) fn revoke(&self, user: &UserId) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let mark = self.marks.lock().by_user.remove(user);
        if let Some(mark) = mark.and_then(|mark| mark.upgrade()) {
            mark.store(true, Ordering::Release);
        }
    }

    fn mark(&self, user: &UserId) -> Arc<AtomicBool> {
        let mut marks = self.marks.lock();
        if let Some(mark) = marks.by_user.get(user).and_then(Weak::upgrade) {
            return mark;
        }
        if marks.by_user.len() >= marks.sweep_at {
            marks.by_user.retain(|_, mark| mark.strong_count() > 0);
            marks.sweep_at = (marks.by_user.len() * 2).max(1024);
        }
        let mark = Arc::new(AtomicBool::new(false));
        marks.by_user.insert(user.to_owned(), Arc::downgrade(&mark));
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(user: &str) -> CachedToken {
        CachedToken {
            requester: Requester {
                user_id: UserId::parse(user).unwrap(),
                device_id: None,
                appservice: None,
                is_guest: false,
            },
            locked: false,
            suspended: false,
            expires_ts: None,
        }
    }

    #[test]
    fn forgets_all_tokens_of_a_revoked_user_and_no_others() {
        let cache = TokenCache::new(100);
        let hashes = ["a", "b", "c"].map(TokenHash::of);
        let [first, second, other] = hashes;
        cache.insert(first, token("@alice:localhost"), cache.epoch());
        cache.insert(second, token("@alice:localhost"), cache.epoch());
        cache.insert(other, token("@bob:localhost"), cache.epoch());
        cache.revoke(&UserId::parse("@alice:localhost").unwrap());
        assert!(cache.get(first).is_none());
        assert!(cache.get(second).is_none());
        assert!(cache.get(other).is_some());
        cache.insert(first, token("@alice:localhost"), cache.epoch());
        assert!(cache.get(first).is_some());
    }

    #[test]
    fn keeps_nothing_that_was_read_before_a_revocation() {
        let cache = TokenCache::new(100);
        let hash = TokenHash::of("a");
        let before = cache.epoch();
        cache.revoke(&UserId::parse("@alice:localhost").unwrap());
        cache.insert(hash, token("@alice:localhost"), before);
        assert!(cache.get(hash).is_none());
    }

    #[test]
    fn drops_marks_that_nobody_holds() {
        let cache = TokenCache::new(100);
        for number in 0..5000 {
            let user = UserId::parse(format!("@u{number}:localhost")).unwrap();
            drop(cache.mark(&user));
        }
        assert!(cache.marks.lock().by_user.len() <= 1024);
    }
}
