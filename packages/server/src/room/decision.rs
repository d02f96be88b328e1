//! What somebody of this server wants of a room: decided on its newest state, sent, and decided again
//! where somebody else was faster.

use std::time::Duration;

use matryx_entity::{
    build::EventTemplate, log::ClientTransaction, policy::Policy, room_no::RoomNo,
    room_snapshot::RoomSnapshot,
};
use matryx_surrealdb::StoreError;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UserId};
use tokio::time::sleep;

use super::{
    RoomError, Rooms, in_flight,
    pipeline::Draft,
    queue::{Head, Turn},
};

/// How often a change is built anew because somebody else wrote to the room first.
const MAX_REBUILDS: u32 = 16;
/// How long to wait before that, times the number of attempts: what somebody else wrote must first
/// reach this process.
const REBUILD_PAUSE: Duration = Duration::from_millis(5);

/// One event that somebody of this server wants in a room.
#[derive(Debug)]
pub(super) struct Intent {
    /// Who sends it.
    pub(super) sender: OwnedUserId,
    /// What it says.
    pub(super) template: EventTemplate,
    /// `origin_server_ts`, where an application service may set it.
    pub(super) ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl Intent {
    /// An event without a client transaction, at the present time.
    pub(super) fn new(sender: &UserId, template: EventTemplate) -> Self {
        Self {
            sender: sender.to_owned(),
            template,
            ts: None,
        }
    }
}

/// What a writer decided after a look at the room.
pub(super) enum Decision {
    /// Send this event.
    Send(Box<Intent>),
    /// Nothing to do: this event already says it.
    Done(OwnedEventId),
}

impl Decision {
    /// Send this event.
    pub(super) fn send(intent: Intent) -> Self {
        Self::Send(Box::new(intent))
    }
}

impl Rooms {
    /// Waits for the room, decides, sends, and returns the event's id once it is durable.
    ///
    /// `decide` may run more than once: another process may have written to the room meanwhile,
    /// and then everything is decided again on what the room is now. A request whose transaction
    /// was already carried out gets the id of the event that it made, whatever the room says now.
    pub(super) async fn act(
        &self,
        room: RoomNo,
        txn: Option<&ClientTransaction>,
        decide: impl Fn(&RoomSnapshot) -> Result<Decision, RoomError> + Send,
    ) -> Result<OwnedEventId, RoomError> {
        for attempt in 0..MAX_REBUILDS {
            let turn = self.turn(room).await?;
            if let Some(event_id) = txn.and_then(|txn| self.sync().transaction(txn)) {
                return Ok(event_id);
            }
            let Some(head) = turn.clone() else { continue };
            let waiting = match txn.and_then(|txn| self.inner.in_flight.find(txn)) {
                Some(flight) => Some(flight),
                None => match decide(&head.snapshot)? {
                    // The event that says it may itself still be on its way.
                    Decision::Done(event_id) => Some((event_id, head.outcome.clone())),
                    Decision::Send(intent) => {
                        let txn = txn.cloned();
                        let sent = match policy_for(&head.snapshot, &intent) {
                            None => self.send_intent(head, turn, txn, *intent).await,
                            Some(policy) => {
                                let at = (head, turn);
                                Box::pin(self.send_by_policy(policy, at, txn, *intent)).await
                            }
                        };
                        match sent {
                            Err(RoomError::Store(
                                StoreError::Conflict { .. } | StoreError::Exists { .. },
                            )) => {
                                sleep(REBUILD_PAUSE * attempt).await;
                                continue;
                            }
                            sent => return sent,
                        }
                    }
                },
            };
            drop(turn);
            if let Some((event_id, outcome)) = waiting
                && in_flight::succeeded(outcome).await
            {
                return Ok(event_id);
            }
        }
        Err(RoomError::Busy)
    }

    async fn send_intent(
        &self,
        head: Head,
        turn: Turn,
        txn: Option<ClientTransaction>,
        intent: Intent,
    ) -> Result<OwnedEventId, RoomError> {
        let mut draft = Draft::new(self, head);
        let event = draft.add(intent, txn.clone()).await?;
        let event_id = event.pdu.event_id().to_owned();
        let landing = draft.take_off();
        let _flight = txn.map(|txn| {
            self.inner
                .in_flight
                .begin(txn, event_id.clone(), draft.head.outcome.clone())
        });
        draft.commit(turn, landing).await?;
        Ok(event_id)
    }
}

/// The policy server that must sign an event.
pub(super) fn policy_for(room: &RoomSnapshot, intent: &Intent) -> Option<Policy> {
    let template = &intent.template;
    let exempt = Policy::exempts(&template.kind, template.state_key.as_deref());
    Policy::of(room).filter(|_| !exempt)
}
