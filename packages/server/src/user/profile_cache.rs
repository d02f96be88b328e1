//! Profiles in memory, so that looking one up reads nothing.
//!
//! An entry goes when the log says that its user changed; what was read before that moment is not
//! kept after it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quick_cache::{Weighter, sync::Cache};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};

/// How many bytes of profiles are held.
const CAPACITY_BYTES: u64 = 8 << 20;
/// What a profile without long values takes.
const USUAL_BYTES: usize = 512;

/// A profile and its length as JSON.
#[derive(Clone)]
pub(super) struct CachedProfile {
    pub(super) fields: Arc<Map<String, Value>>,
    pub(super) json_bytes: usize,
}

#[derive(Clone)]
struct ByLength;

impl Weighter<OwnedUserId, CachedProfile> for ByLength {
    fn weight(&self, _: &OwnedUserId, profile: &CachedProfile) -> u64 {
        // A map of values takes a few times what its JSON takes.
        u64::try_from(USUAL_BYTES + 4 * profile.json_bytes).unwrap_or(u64::MAX)
    }
}

/// The cache.
pub(super) struct ProfileCache {
    entries: Cache<OwnedUserId, CachedProfile, ByLength>,
    /// Counts evictions by the log.
    epoch: AtomicU64,
}

/// A moment before something was read.
#[derive(Clone, Copy)]
pub(super) struct Epoch(u64);

impl ProfileCache {
    pub(super) fn new() -> Self {
        let estimated = usize::try_from(CAPACITY_BYTES).unwrap_or(usize::MAX) / (2 * USUAL_BYTES);
        Self {
            entries: Cache::with_weighter(estimated, CAPACITY_BYTES, ByLength),
            epoch: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<CachedProfile> {
        let found = self.entries.get(user);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!("matryx_cache_requests_total", "cache" => "profile", "outcome" => outcome)
            .increment(1);
        found
    }

    /// Call before reading what [`ProfileCache::insert`] is to keep.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Keeps what was read since `read_at`, unless something changed meanwhile.
    pub(super) fn insert(&self, user: &UserId, profile: CachedProfile, read_at: Epoch) {
        let unchanged = || self.epoch.load(Ordering::Acquire) == read_at.0;
        if unchanged() {
            self.entries.insert(user.to_owned(), profile);
            // A change that came in between did not see the entry.
            if !unchanged() {
                self.entries.remove(user);
            }
        }
    }

    /// Forgets a profile.
    pub(super) fn forget(&self, user: &UserId) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.entries.remove(user);
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn profile(json_bytes: usize) -> CachedProfile {
        CachedProfile {
            fields: Arc::default(),
            json_bytes,
        }
    }

    #[test]
    fn forgets_what_changed_and_what_was_read_before() {
        let cache = ProfileCache::new();
        let alice = user_id!("@alice:localhost");
        cache.insert(alice, profile(10), cache.epoch());
        assert!(cache.get(alice).is_some());
        let before = cache.epoch();
        cache.forget(alice);
        assert!(cache.get(alice).is_none());
        cache.insert(alice, profile(10), before);
        assert!(cache.get(alice).is_none());
    }

    #[test]
    fn is_bounded_by_the_size_of_what_it_holds() {
        let cache = ProfileCache::new();
        for number in 0..1000 {
            let user = UserId::parse(format!("@u{number}:localhost")).unwrap();
            cache.insert(&user, profile(65_536), cache.epoch());
        }
        assert!(cache.entries.len() < 40);
    }
}
