//! What is known of users, in memory, so that asking for keys reads nothing.
//!
//! An entry goes when the log says that its user changed; what was read before that moment is not
//! kept after it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quick_cache::{Weighter, sync::Cache};
use ruma::{OwnedUserId, UserId};

/// What an entry takes besides its texts.
const ENTRY_BYTES: usize = 256;

/// Something whose size in memory is known.
pub(super) trait Weigh {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize;
}

#[derive(Clone)]
struct ByBytes;

impl<V: Weigh> Weighter<OwnedUserId, Arc<V>> for ByBytes {
    fn weight(&self, _: &OwnedUserId, value: &Arc<V>) -> u64 {
        u64::try_from(ENTRY_BYTES + value.bytes()).unwrap_or(u64::MAX)
    }
}

/// The cache.
pub(super) struct UserCache<V> {
    name: &'static str,
    entries: Cache<OwnedUserId, Arc<V>, ByBytes>,
    /// Counts what the log made stale.
    epoch: AtomicU64,
}

/// A moment before something was read.
#[derive(Clone, Copy)]
pub(super) struct Epoch(u64);

impl<V: Weigh> UserCache<V> {
    /// A cache for so many bytes, with its name in the metrics.
    pub(super) fn new(name: &'static str, bytes: u64) -> Self {
        let estimated = usize::try_from(bytes).unwrap_or(usize::MAX) / (8 * ENTRY_BYTES);
        Self {
            name,
            entries: Cache::with_weighter(estimated, bytes, ByBytes),
            epoch: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<Arc<V>> {
        let found = self.entries.get(user);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!("matryx_cache_requests_total", "cache" => self.name, "outcome" => outcome)
            .increment(1);
        found
    }

    /// Call before reading what [`UserCache::insert`] is to keep.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Keeps what is left of something that was true at `read_at` after `changes` of one's own, of
    /// which the log has told since, unless something else changed meanwhile.
    pub(super) fn renew(&self, user: &UserId, value: Arc<V>, read_at: Epoch, changes: u64) {
        self.insert(user, value, Epoch(read_at.0.wrapping_add(changes)));
    }

    /// Keeps what was read since `read_at`, unless something changed meanwhile.
    pub(super) fn insert(&self, user: &UserId, value: Arc<V>, read_at: Epoch) {
        let unchanged = || self.epoch.load(Ordering::Acquire) == read_at.0;
        if unchanged() {
            self.entries.insert(user.to_owned(), value);
            // A change that came in between did not see the entry.
            if !unchanged() {
                self.entries.remove(user);
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("matryx_cache_entries", "cache" => self.name)
                .set(self.entries.len() as f64);
        }
    }

    /// Forgets what is known of a user.
    pub(super) fn forget(&self, user: &UserId) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.entries.remove(user);
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    struct Text(usize);

    impl Weigh for Text {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn forgets_what_changed_and_what_was_read_before() {
        let cache = UserCache::new("test", 1 << 20);
        let alice = user_id!("@alice:localhost");
        cache.insert(alice, Arc::new(Text(10)), cache.epoch());
        assert!(cache.get(alice).is_some());
        let before = cache.epoch();
        cache.forget(alice);
        assert!(cache.get(alice).is_none());
        cache.insert(alice, Arc::new(Text(10)), before);
        assert!(cache.get(alice).is_none());
    }

    #[test]
    fn keeps_what_is_left_after_changes_of_ones_own_and_no_others() {
        let cache = UserCache::new("test", 1 << 20);
        let alice = user_id!("@alice:localhost");
        let before = cache.epoch();
        cache.forget(alice);
        cache.forget(alice);
        cache.renew(alice, Arc::new(Text(10)), before, 2);
        assert!(cache.get(alice).is_some());
        let before = cache.epoch();
        cache.forget(alice);
        cache.forget(alice);
        cache.renew(alice, Arc::new(Text(10)), before, 1);
        assert!(cache.get(alice).is_none());
    }

    #[test]
    fn is_bounded_by_the_size_of_what_it_holds() {
        let cache = UserCache::new("test", 1 << 20);
        for number in 0..1000 {
            let user = UserId::parse(format!("@u{number}:localhost")).unwrap();
            cache.insert(&user, Arc::new(Text(100_000)), cache.epoch());
        }
        assert!(cache.entries.len() <= 10);
    }
}
