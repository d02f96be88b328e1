//! A bounded map from keys to immutable values that are loaded on a miss and replaced on a
//! change.
//!
//! A value is loaded by one task at a time. A change that is committed while its value is being
//! loaded is never lost: the change marks the load as stale, and the loader reads again. Eviction
//! is by weight, with a second chance for what was used since the last round.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// How often a load starts over because its value changed meanwhile, before the caller gets what
/// was read last and the cache stays empty.
const MAX_LOADS: usize = 8;

/// Tells roughly how many bytes a cached value takes.
pub(crate) trait Weigh {
    /// The weight in bytes.
    fn weigh(&self) -> u64;
}

/// A bounded, versioned cache; see the module.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    name: &'static str,
    limit: u64,
    /// Guards the map; held for a few instructions, never across an await.
    state: Mutex<State<K, V>>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

#[derive(Debug)]
struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys in the order in which they are looked at for eviction.
    order: VecDeque<K>,
    loads: HashMap<K, Arc<Load>>,
    weight: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    weight: u64,
    used: bool,
}

#[derive(Debug, Default)]
struct Load {
    /// Lets one task load at a time.
    gate: tokio::sync::Mutex<()>,
    stale: AtomicBool,
}

/// What a cache can say about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Which cache.
    pub name: &'static str,
    /// How many values it holds.
    pub entries: usize,
    /// What they weigh, in bytes, roughly.
    pub weight: u64,
    /// How often a value was found.
    pub hits: u64,
    /// How often it was not.
    pub misses: u64,
    /// How many values were dropped to make room.
    pub evictions: u64,
}

impl<K: Clone + Eq + Hash, V: Weigh> Cache<K, V> {
    pub(crate) fn new(name: &'static str, limit: u64) -> Self {
        Self {
            name,
            limit,
            state: Mutex::new(State {
                entries: HashMap::new(),
                order: VecDeque::new(),
                loads: HashMap::new(),
                weight: 0,
            }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// The value, if it is here.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        let found = self.peek(key);
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn peek(&self, key: &K) -> Option<Arc<V>> {
        let mut state = self.state.lock();
        let entry = state.entries.get_mut(key)?;
        entry.used = true;
        Some(Arc::clone(&entry.value))
    }

    /// The value, loaded if it is not here; `None` if there is none to load.
    pub(crate) async fn get_or_load<F, E>(
        &self,
        key: &K,
        load: impl Fn() -> F,
    ) -> Result<Option<Arc<V>>, E>
    where
        F: Future<Output = Result<Option<V>, E>>,
    {
        if let Some(value) = self.get(key) {
            return Ok(Some(value));
        }
        let turn = Turn::take(self, key);
        let _gate = turn.load.gate.lock().await;
        let mut last = None;
        for _ in 0..MAX_LOADS {
            if let Some(value) = self.peek(key) {
                return Ok(Some(value));
            }
            turn.load.stale.store(false, Ordering::Release);
            let loaded = load().await?;
            let mut state = self.state.lock();
            let fresh = !turn.load.stale.load(Ordering::Acquire);
            match loaded {
                None if fresh => return Ok(None),
                None => {}
                Some(value) => {
                    let value = Arc::new(value);
                    if fresh {
                        self.put(&mut state, key, Arc::clone(&value));
                        return Ok(Some(value));
                    }
                    last = Some(value);
                }
            }
        }
        Ok(last)
    }

    /// Puts a value in place, unless `keep` prefers the one that is here.
    pub(crate) fn publish(&self, key: &K, value: Arc<V>, keep: impl FnOnce(&V) -> bool) {
        let mut state = self.state.lock();
        state.mark_stale(key);
        if state
            .entries
            .get(key)
            .is_some_and(|entry| keep(&entry.value))
        {
            return;
        }
        self.put(&mut state, key, value);
    }

    /// Changes the value if it is here; `change` returns none to drop it.
    pub(crate) fn update(&self, key: &K, change: impl FnOnce(&Arc<V>) -> Option<Arc<V>>) {
        let mut state = self.state.lock();
        state.mark_stale(key);
        let Some(entry) = state.entries.get(key) else {
            return;
        };
        match change(&entry.value) {
            Some(value) => self.put(&mut state, key, value),
            None => state.remove(key),
        }
    }

    /// Drops the value: the next reader loads it.
    pub(crate) fn invalidate(&self, key: &K) {
        let mut state = self.state.lock();
        state.mark_stale(key);
        state.remove(key);
    }

    /// Drops all values of some keys: looks at every key.
    pub(crate) fn invalidate_where(&self, concerns: impl Fn(&K) -> bool) {
        let mut state = self.state.lock();
        for (key, load) in &state.loads {
            if concerns(key) {
                load.stale.store(true, Ordering::Release);
            }
        }
        let keys: Vec<K> = state
            .entries
            .keys()
            .filter(|key| concerns(key))
            .cloned()
            .collect();
        for key in &keys {
            state.remove(key);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        for load in state.loads.values() {
            load.stale.store(true, Ordering::Release);
        }
        state.entries.clear();
        state.order.clear();
        state.weight = 0;
    }

    pub(crate) fn status(&self) -> CacheStatus {
        let state = self.state.lock();
        CacheStatus {
            name: self.name,
            entries: state.entries.len(),
            weight: state.weight,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    fn put(&self, state: &mut State<K, V>, key: &K, value: Arc<V>) {
        let weight = value.weigh();
        if let Some(entry) = state.entries.get_mut(key) {
            state.weight = state.weight - entry.weight + weight;
            entry.value = value;
            entry.weight = weight;
        } else {
            let entry = Entry {
                value,
                weight,
                used: false,
            };
            state.entries.insert(key.clone(), entry);
            state.order.push_back(key.clone());
            state.weight += weight;
        }
        let evicted = state.shrink(self.limit, key);
        self.evictions.fetch_add(evicted, Ordering::Relaxed);
    }
}

impl<K: Clone + Eq + Hash, V> State<K, V> {
    fn mark_stale(&mut self, key: &K) {
        if let Some(load) = self.loads.get(key) {
            load.stale.store(true, Ordering::Release);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= entry.weight;
            if let Some(place) = self.order.iter().position(|other| other == key) {
                self.order.swap_remove_back(place);
            }
        }
    }

    /// Evicts until the weight is within the limit; `keep` is spared.
    fn shrink(&mut self, limit: u64, keep: &K) -> u64 {
        let mut evicted = 0;
        // Every entry is looked at twice at most: once to take its second chance away.
        let mut looks = self.order.len() * 2;
        while self.weight > limit && looks > 0 {
            looks -= 1;
            let Some(key) = self.order.pop_front() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.used || key == *keep {
                entry.used = false;
                self.order.push_back(key);
                continue;
            }
            self.weight -= entry.weight;
            self.entries.remove(&key);
            evicted += 1;
        }
        evicted
    }
}

/// A place in the queue of those who want to load one key; takes the load off the books when the
/// last of them leaves, also when it is cancelled.
struct Turn<'a, K: Eq + Hash, V> {
    cache: &'a Cache<K, V>,
    key: K,
    load: Arc<Load>,
}

impl<'a, K: Clone + Eq + Hash, V> Turn<'a, K, V> {
    fn take(cache: &'a Cache<K, V>, key: &K) -> Self {
        let load = Arc::clone(cache.state.lock().loads.entry(key.clone()).or_default());
        Self {
            cache,
            key: key.clone(),
            load,
        }
    }
}

impl<K: Eq + Hash, V> Drop for Turn<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock();
        // The map's own and this one: nobody else waits.
        if Arc::strong_count(&self.load) == 2 {
            state.loads.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::atomic::AtomicUsize};

    use super::*;

    impl Weigh for u64 {
        fn weigh(&self) -> u64 {
            10
        }
    }

    #[tokio::test]
    async fn many_readers_of_one_key_load_it_once() {
        let cache = Cache::<u8, u64>::new("test", 100);
        let loads = AtomicUsize::new(0);
        let read = || async {
            cache
                .get_or_load(&1, || async {
                    loads.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(Some(7))
                })
                .await
        };
        let (a, b, c) = tokio::join!(read(), read(), read());
        for value in [a, b, c] {
            assert_eq!(value.unwrap().as_deref(), Some(&7));
        }
        assert_eq!(loads.load(Ordering::Relaxed), 1);
        assert!(cache.state.lock().loads.is_empty());
    }

    #[tokio::test]
    async fn a_change_during_a_load_is_not_lost() {
        let cache = Cache::<u8, u64>::new("test", 100);
        let loads = AtomicUsize::new(0);
        let value = cache
            .get_or_load(&1, || async {
                let nth = loads.fetch_add(1, Ordering::Relaxed) as u64;
                if nth == 0 {
                    // Committed after the first load has read.
                    cache.update(&1, |_| None);
                }
                Ok::<_, Infallible>(Some(nth))
            })
            .await;
        assert_eq!(value.unwrap().as_deref(), Some(&1));
        assert_eq!(cache.get(&1).as_deref(), Some(&1));
    }

    #[tokio::test]
    async fn a_value_published_during_a_load_wins() {
        let cache = Cache::<u8, u64>::new("test", 100);
        let value = cache
            .get_or_load(&1, || async {
                cache.publish(&1, Arc::new(9), |_| false);
                Ok::<_, Infallible>(Some(1))
            })
            .await;
        assert_eq!(value.unwrap().as_deref(), Some(&9));
    }

    #[test]
    fn the_weight_stays_within_the_limit_and_used_values_stay() {
        let cache = Cache::<u8, u64>::new("test", 30);
        for key in 0..3 {
            cache.publish(&key, Arc::new(u64::from(key)), |_| false);
        }
        assert!(cache.get(&0).is_some());
        cache.publish(&3, Arc::new(3), |_| false);
        assert!(cache.get(&0).is_some(), "it was used");
        assert!(cache.get(&1).is_none(), "the oldest that was not used");
        let status = cache.status();
        assert_eq!(
            (status.entries, status.weight, status.evictions),
            (3, 30, 1)
        );
    }
}
