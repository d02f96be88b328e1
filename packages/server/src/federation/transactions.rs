//! Transactions of other servers: each is worked through once, whoever asks how often.
//!
//! A server that got no answer sends the transaction again, perhaps while the first one is still
//! being worked on; both get the outcome of the one. Outcomes are remembered in memory only. After a
//! restart a transaction is worked through again, and nothing happens twice by that: events are
//! known by their ids, as are messages to devices, receipts only move forward, and who types, types.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use matryx_client::Flights;
use matryx_surrealdb::StoreError;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::{OwnedServerName, OwnedTransactionId, ServerName};

use super::inbound::Results;

/// How many outcomes are remembered.
const MAX_OUTCOMES: usize = 2_000;

/// How many transactions of one server, and of all, are under way at once. A server sends one after
/// the other; but the work on one goes on when the server hangs up, and it may then send it again.
const MAX_OF_ONE: usize = 4;
const MAX_IN_ALL: usize = 500;

/// A transaction is known by its server and the id that this gave it.
pub type TransactionKey = (OwnedServerName, OwnedTransactionId);

/// The transactions that are being worked on, and the outcomes of the last ones. Cheap to clone.
#[derive(Clone)]
pub struct Transactions(Arc<Inner>);

/// Why a transaction has no outcome. The next who asks starts it again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Undone {
    /// The work broke down.
    #[error("the work broke down")]
    BrokeDown,
    /// Too many are under way.
    #[error("too many transactions are under way")]
    TooMany,
    /// Something that must not get lost could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Outcome = Result<Arc<Results>, Undone>;

struct Inner {
    flights: Flights<TransactionKey, Outcome>,
    outcomes: Cache<TransactionKey, Arc<Results>>,
    /// How many transactions are under way, by their servers. A plain mutex: held for a look-up only.
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Default)]
struct UnderWay {
    all: usize,
    of: HashMap<OwnedServerName, usize>,
}

/// One of the transactions under way, until this is dropped.
pub struct Place {
    server: OwnedServerName,
    under_way: Arc<Mutex<UnderWay>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        under_way.all = under_way.all.saturating_sub(1);
        if let Some(count) = under_way.of.get_mut(&self.server) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.of.remove(&self.server);
            }
        }
    }
}

impl Default for Transactions {
    fn default() -> Self {
        Self(Arc::new(Inner {
            flights: Flights::default(),
            outcomes: Cache::new(MAX_OUTCOMES),
            under_way: Arc::default(),
        }))
    }
}

impl Transactions {
    /// Counts one more transaction of a server, which is to be kept with the work on it.
    ///
    /// # Errors
    /// [`Undone::TooMany`]: the server must send it again later.
    pub fn begin(&self, server: &ServerName) -> Result<Place, Undone> {
        let mut under_way = self.0.under_way.lock();
        let count = under_way.of.get(server).copied().unwrap_or_default();
        if under_way.all >= MAX_IN_ALL || count >= MAX_OF_ONE {
            return Err(Undone::TooMany);
        }
        under_way.all += 1;
        under_way.of.insert(server.to_owned(), count + 1);
        Ok(Place {
            server: server.to_owned(),
            under_way: Arc::clone(&self.0.under_way),
        })
    }

    /// The outcome of a transaction: what is remembered, what somebody else is working on, or what
    /// `work` comes to. Whoever waits carries the work on: it must be waited for in a task of its
    /// own, which does not end with the request.
    ///
    /// # Errors
    /// The work could not be done; the next who asks starts it again.
    pub async fn once(
        &self,
        key: TransactionKey,
        work: BoxFuture<'static, Result<Results, StoreError>>,
    ) -> Outcome {
        let start = || {
            let (inner, key) = (Arc::clone(&self.0), key.clone());
            async move {
                if let Some(outcome) = inner.outcomes.get(&key) {
                    return Ok(outcome);
                }
                // Nothing of the work is looked at when it broke down.
                let outcome = AssertUnwindSafe(work).catch_unwind().await;
                let Ok(outcome) = outcome else {
                    return Err(Undone::BrokeDown);
                };
                let outcome = Arc::new(outcome?);
                inner.outcomes.insert(key, Arc::clone(&outcome));
                Ok(outcome)
            }
            .boxed()
        };
        self.0.flights.join(&key, start).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use ruma::server_name;
    use tokio::sync::Semaphore;

    use super::*;

    fn key(origin: &str, id: &str) -> TransactionKey {
        (origin.try_into().unwrap(), id.into())
    }

    #[tokio::test]
    async fn works_once_for_all_who_ask_and_remembers() {
        let transactions = Transactions::default();
        let (count, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let work = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                count.fetch_add(1, Ordering::Relaxed);
                Ok(Results::new())
            }
            .boxed()
        };
        let ask = |id| transactions.once((server_name!("a.test").to_owned(), id), work());
        let open = async { gate.add_permits(1) };
        let (one, again, ()) = tokio::join!(ask("one".into()), ask("one".into()), open);
        assert!(Arc::ptr_eq(&one.unwrap(), &again.unwrap()));
        ask("one".into()).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        gate.add_permits(2);
        let other = transactions.once(key("b.test", "one"), work()).await;
        assert_eq!(other.as_deref().ok(), Some(&Results::new()));
        ask("two".into()).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn so_many_are_under_way_and_no_more() {
        let transactions = Transactions::default();
        let name = |nth: usize| OwnedServerName::try_from(format!("s{nth}.test")).unwrap();
        let begin = |nth| transactions.begin(&name(nth));
        let mut places: Vec<Place> = (0..MAX_OF_ONE).map(|_| begin(0).unwrap()).collect();
        assert!(matches!(begin(0), Err(Undone::TooMany)));
        for nth in 1..=MAX_IN_ALL - MAX_OF_ONE {
            places.push(begin(nth).unwrap());
        }
        assert!(matches!(begin(MAX_IN_ALL), Err(Undone::TooMany)));
        places.remove(0);
        assert!(begin(0).is_ok());
        places.clear();
        assert!(transactions.0.under_way.lock().of.is_empty());
    }

    #[tokio::test]
    async fn what_fails_does_not_wedge_the_transaction() {
        let transactions = Transactions::default();
        let broken = async { panic!("on purpose") }.boxed();
        let broken = transactions.once(key("a.test", "one"), broken).await;
        assert!(matches!(broken, Err(Undone::BrokeDown)));
        let reason = "away".into();
        let failed = async { Err(StoreError::Unavailable { reason }) }.boxed();
        let failed = transactions.once(key("a.test", "one"), failed).await;
        assert!(matches!(failed, Err(Undone::Store(_))));
        let work = async { Ok(Results::new()) }.boxed();
        let outcome = transactions.once(key("a.test", "one"), work).await;
        assert_eq!(outcome.as_deref().ok(), Some(&Results::new()));
    }
}
