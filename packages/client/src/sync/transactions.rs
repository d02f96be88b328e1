//! Which requests of clients were carried out, and which events they made: the idempotency map, and
//! its reverse for `unsigned.transaction_id`.
//!
//! In memory only; rebuilt from the log's tail at start. An entry that was pushed out costs a
//! retry its idempotency after some hundred thousand events, not before.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use matryx_entity::log::ClientTransaction;
use parking_lot::Mutex;
use ruma::{DeviceId, EventId, OwnedEventId, OwnedTransactionId, UserId};

/// How many requests are remembered.
const MAX_TRANSACTIONS: usize = 100_000;

/// The remembered requests.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Guards the maps; held for a few instructions.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// With the event, if the request made one.
    by_request: HashMap<Arc<ClientTransaction>, Option<OwnedEventId>>,
    by_event: HashMap<OwnedEventId, Arc<ClientTransaction>>,
    order: VecDeque<Arc<ClientTransaction>>,
}

impl Transactions {
    /// Remembers that a request made an event.
    pub(crate) fn insert(&self, transaction: ClientTransaction, event_id: &EventId) {
        self.note(transaction, Some(event_id));
    }

    /// Remembers that a request was carried out that makes no event.
    pub(crate) fn insert_done(&self, transaction: ClientTransaction) {
        self.note(transaction, None);
    }

    fn note(&self, transaction: ClientTransaction, event_id: Option<&EventId>) {
        let mut state = self.state.lock();
        let transaction = Arc::new(transaction);
        let known = state
            .by_request
            .insert(Arc::clone(&transaction), event_id.map(EventId::to_owned));
        if let Some(event_id) = event_id {
            state
                .by_event
                .insert(event_id.to_owned(), Arc::clone(&transaction));
        }
        if known.is_some() {
            return;
        }
        state.order.push_back(transaction);
        if state.order.len() > MAX_TRANSACTIONS
            && let Some(oldest) = state.order.pop_front()
            && let Some(Some(event_id)) = state.by_request.remove(&oldest)
        {
            state.by_event.remove(&event_id);
        }
    }

    /// The event that a request made.
    pub(crate) fn event(&self, transaction: &ClientTransaction) -> Option<OwnedEventId> {
        self.state.lock().by_request.get(transaction)?.clone()
    }

    /// Was the request carried out?
    pub(crate) fn contains(&self, transaction: &ClientTransaction) -> bool {
        self.state.lock().by_request.contains_key(transaction)
    }

    /// The transaction id under which this device made the event.
    pub(crate) fn id_for(
        &self,
        event_id: &EventId,
        user: &UserId,
        device: Option<&DeviceId>,
    ) -> Option<OwnedTransactionId> {
        let state = self.state.lock();
        let made = state.by_event.get(event_id)?;
        (made.user == user && Some(&*made.device) == device).then(|| made.txn_id.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().order.len()
    }
}
