//! Changes that are decided but not yet durable.
//!
//! A client that retries while its first request is still on the way must get the same event, and
//! nobody may be told of an event before it is durable.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::log::ClientTransaction;
use parking_lot::Mutex;
use ruma::OwnedEventId;
use tokio::sync::watch;

/// Tells how a commit ended; dropped without a word, it failed.
pub(super) type Landing = watch::Sender<Option<bool>>;

/// Where to learn how a commit ended.
pub(super) type Outcome = watch::Receiver<Option<bool>>;

/// A commit that is about to start.
pub(super) fn new() -> (Landing, Outcome) {
    watch::channel(None)
}

/// The outcome of a commit that succeeded long ago.
pub(super) fn landed() -> Outcome {
    watch::channel(Some(true)).1
}

/// Waits for the end of a commit.
pub(super) async fn succeeded(mut outcome: Outcome) -> bool {
    outcome
        .wait_for(Option::is_some)
        .await
        .is_ok_and(|outcome| *outcome == Some(true))
}

/// Client transactions on their way. The lock is held for a look-up only; the map is bounded by
/// the number of requests that are being served.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    flights: Arc<Mutex<HashMap<ClientTransaction, (OwnedEventId, Outcome)>>>,
}

/// One transaction on its way; it is over when this is dropped.
pub(super) struct Flight {
    txn: ClientTransaction,
    all: InFlight,
}

impl InFlight {
    pub(super) fn find(&self, txn: &ClientTransaction) -> Option<(OwnedEventId, Outcome)> {
        self.flights.lock().get(txn).cloned()
    }

    pub(super) fn begin(
        &self,
        txn: ClientTransaction,
        event_id: OwnedEventId,
        outcome: Outcome,
    ) -> Flight {
        self.flights.lock().insert(txn.clone(), (event_id, outcome));
        Flight {
            txn,
            all: self.clone(),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all.flights.lock().remove(&self.txn);
    }
}
