//! The plans that wait for the log writer.
//!
//! A mutex guards the queue because submitting must be synchronous: the order of the calls is the
//! order of the commits. It is never held across an await. Closing lets the writer finish what is
//! queued and refuses everything after.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use matryx_entity::room_no::RoomNo;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{
    config::StoreConfig,
    error::StoreError,
    plan::{Committed, Fence, Plan},
};

/// How many rooms' failures are remembered. A failure matters only to plans that were made before
/// their room's writer saw it.
const MAX_FAILED: usize = 65_536;

/// Where the outcome of a plan goes.
pub(crate) type Ack = oneshot::Sender<Result<Committed, StoreError>>;

/// A plan and who waits for it.
pub(crate) struct Queued {
    pub(crate) plan: Plan,
    pub(crate) ack: Ack,
    /// Its place in the order of submission.
    ticket: u64,
}

impl Queued {
    pub(crate) fn refuse(self, error: StoreError) {
        // Who does not wait for the outcome does not want it.
        let _unwanted = self.ack.send(Err(error));
    }
}

/// The queue between everybody and the one writer.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    max_bytes: usize,
    max_batch_rows: usize,
    max_batch_bytes: usize,
}

#[derive(Default)]
struct State {
    plans: VecDeque<Queued>,
    bytes: usize,
    failed: FailedFences,
    tickets: u64,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(config: &StoreConfig) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            max_bytes: config.queue_bytes,
            max_batch_rows: config.batch_rows,
            max_batch_bytes: config.batch_bytes,
        }
    }

    /// Adds a plan at the end, or refuses it at once.
    pub(crate) fn push(&self, mut plan: Plan, ack: Ack) {
        let mut state = self.state.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        let refusal = if state.closed {
            Some(closed())
        } else if let Some(error) = plan.broken.take() {
            Some(error)
        } else if let Some(error) = state.failed.refusal(plan.fence, ticket) {
            Some(error)
        } else if state.bytes + plan.bytes > self.max_bytes && !state.plans.is_empty() {
            Some(StoreError::Unavailable {
                reason: "too much waits to be written".into(),
            })
        } else {
            None
        };
        let queued = Queued { plan, ack, ticket };
        if let Some(error) = refusal {
            state.failed.note(queued.plan.fence, ticket);
            drop(state);
            queued.refuse(error);
        } else {
            state.bytes += queued.plan.bytes;
            state.plans.push_back(queued);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// The next plans for one transaction, waiting for the first; `None` when the queue is closed
    /// and empty.
    pub(crate) async fn next(&self) -> Option<VecDeque<Queued>> {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state.lock();
                if !state.plans.is_empty() {
                    return Some(self.take(&mut state));
                }
                if state.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    fn take(&self, state: &mut State) -> VecDeque<Queued> {
        let (mut rows, mut bytes) = (0, 0);
        let mut taken = VecDeque::new();
        while let Some(queued) = state.plans.pop_front() {
            rows += queued.plan.writes.len() + queued.plan.log.len();
            bytes += queued.plan.bytes;
            let full = rows > self.max_batch_rows || bytes > self.max_batch_bytes;
            if full && !taken.is_empty() {
                state.plans.push_front(queued);
                break;
            }
            state.bytes -= queued.plan.bytes;
            taken.push_back(queued);
        }
        taken
    }

    /// Remembers that a plan failed, for those that were built on it.
    pub(crate) fn note_failure(&self, failed: &Queued) {
        self.state
            .lock()
            .failed
            .note(failed.plan.fence, failed.ticket);
    }

    /// Why a plan must not be committed, if one that it was built on failed.
    pub(crate) fn refusal(&self, queued: &Queued) -> Option<StoreError> {
        self.state
            .lock()
            .failed
            .refusal(queued.plan.fence, queued.ticket)
    }

    /// Refuses everything from now on, and what is queued as well.
    pub(crate) fn abandon(&self) {
        let plans = {
            let mut state = self.state.lock();
            state.closed = true;
            state.bytes = 0;
            std::mem::take(&mut state.plans)
        };
        for queued in plans {
            queued.refuse(closed());
        }
    }

    /// Refuses everything from now on; what is queued is still written.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }
}

/// The outcome of a plan that came after the end.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable {
        reason: "the store is closed".into(),
    }
}

/// Where the newest failure of each room was.
#[derive(Default)]
struct FailedFences {
    rooms: HashMap<RoomNo, FailedAt>,
    order: VecDeque<RoomNo>,
}

/// The first plan that failed of an epoch.
#[derive(Clone, Copy)]
struct FailedAt {
    epoch: u64,
    ticket: u64,
}

impl FailedFences {
    fn note(&mut self, fence: Option<Fence>, ticket: u64) {
        let Some(Fence { room, epoch }) = fence else {
            return;
        };
        match self.rooms.entry(room) {
            Entry::Vacant(entry) => {
                entry.insert(FailedAt { epoch, ticket });
                self.order.push_back(room);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if epoch > known.epoch {
                    *known = FailedAt { epoch, ticket };
                } else if epoch == known.epoch {
                    known.ticket = known.ticket.min(ticket);
                }
            }
        }
        if self.order.len() > MAX_FAILED
            && let Some(oldest) = self.order.pop_front()
        {
            self.rooms.remove(&oldest);
        }
    }

    fn refusal(&self, fence: Option<Fence>, ticket: u64) -> Option<StoreError> {
        let Fence { room, epoch } = fence?;
        let failed = self.rooms.get(&room)?;
        let built_on_it = epoch < failed.epoch || (epoch == failed.epoch && ticket > failed.ticket);
        built_on_it.then_some(StoreError::Conflict { room })
    }
}
