//! Single flight: who asks for what is being fetched already waits for that answer.

use std::{collections::HashMap, hash::Hash};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

type Flight<V> = Shared<BoxFuture<'static, V>>;

/// What is being fetched, by key.
///
/// A flight is carried by those who wait for it, and ends unfinished when the last of them is gone.
pub struct Flights<K, V: Clone> {
    /// A mutex, because it is held for single look-ups only.
    open: Mutex<HashMap<K, Flight<V>>>,
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    /// The outcome of the open flight of `key`, or of a new one.
    pub async fn join(&self, key: &K, start: impl FnOnce() -> BoxFuture<'static, V>) -> V {
        let flight = {
            let mut open = self.open.lock();
            let flight = open.entry(key.clone());
            flight.or_insert_with(|| start().shared()).clone()
        };
        let passenger = Passenger {
            flights: self,
            key,
            flight,
        };
        passenger.flight.clone().await
    }
}

/// One who waits.
struct Passenger<'a, K: Eq + Hash, V: Clone> {
    flights: &'a Flights<K, V>,
    key: &'a K,
    flight: Flight<V>,
}

impl<K: Eq + Hash, V: Clone> Drop for Passenger<'_, K, V> {
    fn drop(&mut self) {
        let mut open = self.flights.open.lock();
        let is_mine = |open: &Flight<V>| open.ptr_eq(&self.flight);
        // Ours and the one in the map: nobody else waits.
        let is_last = self.flight.strong_count().is_none_or(|count| count <= 2);
        // A flight that broke down panics at whoever looks at it.
        let is_over = std::thread::panicking() || is_last || self.flight.peek().is_some();
        if is_over && open.get(self.key).is_some_and(is_mine) {
            open.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn flies_once_for_all_who_wait_and_again_later() {
        let flights = Flights::<u32, u32>::default();
        let (count, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let fly = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                count.fetch_add(1, Ordering::Relaxed)
            }
            .boxed()
        };
        let open = async { gate.add_permits(1) };
        let (one, other, ()) = tokio::join!(flights.join(&1, fly), flights.join(&1, fly), open);
        assert_eq!((one, other), (0, 0));
        gate.add_permits(1);
        assert_eq!(flights.join(&1, fly).await, 1);
        assert!(flights.open.lock().is_empty());
    }

    #[tokio::test]
    async fn leaves_nothing_behind_when_all_are_gone() {
        let flights = Flights::<u32, u32>::default();
        {
            let waiting = flights.join(&1, || std::future::pending().boxed());
            assert!(waiting.now_or_never().is_none());
        }
        assert!(flights.open.lock().is_empty());
        assert_eq!(flights.join(&1, || async { 7 }.boxed()).await, 7);
    }
}
