//! Client transactions whose event is built but not yet durable.
//!
//! A client that retries while its first request is still on the way must get the same event, and
//! must not get it before it is durable.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::log::ClientTransaction;
use parking_lot::Mutex;
use ruma::OwnedEventId;
use tokio::sync::watch;

type Outcome = watch::Receiver<Option<bool>>;

/// The transactions on the way. The lock is held for a look-up only; the map is bounded by the
/// number of requests that are being served.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    flights: Arc<Mutex<HashMap<ClientTransaction, (OwnedEventId, Outcome)>>>,
}

/// One transaction on its way; dropped without [`Flight::land`], it failed.
pub(super) struct Flight {
    txn: ClientTransaction,
    outcome: watch::Sender<Option<bool>>,
    all: InFlight,
}

impl InFlight {
    pub(super) fn find(&self, txn: &ClientTransaction) -> Option<(OwnedEventId, Outcome)> {
        self.flights.lock().get(txn).cloned()
    }

    pub(super) fn begin(&self, txn: ClientTransaction, event_id: OwnedEventId) -> Flight {
        let (outcome, receiver) = watch::channel(None);
        self.flights
            .lock()
            .insert(txn.clone(), (event_id, receiver));
        Flight {
            txn,
            outcome,
            all: self.clone(),
        }
    }

    /// Waits for the end of a flight. A sender that went away without a word has failed.
    pub(super) async fn succeeded(mut outcome: Outcome) -> bool {
        outcome
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|outcome| *outcome == Some(true))
    }
}

impl Flight {
    /// The event is durable.
    pub(super) fn land(self) {
        self.outcome.send_replace(Some(true));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all.flights.lock().remove(&self.txn);
        self.outcome
            .send_if_modified(|outcome| outcome.is_none() && outcome.replace(false).is_none());
    }
}
