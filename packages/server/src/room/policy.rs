//! Rooms with a policy server: what is sent there carries its signature, and what comes without is
//! shown to nobody.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#policy-servers)

use std::{sync::Arc, time::Duration};

use matryx_client::outbound::Limits;
use matryx_entity::{
    auth, build, log::ClientTransaction, pdu::Pdu, policy::Policy, room_snapshot::RoomSnapshot,
    room_versions, server_keys::later,
};
use matryx_surrealdb::StoreError;
use metrics::counter;
use quick_cache::sync::Cache;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName,
    api::federation::policy::sign_event::v1::Request,
};

use super::{
    Judged, NotJudged, RoomError, Rooms,
    decision::Intent,
    in_flight,
    incoming::Way,
    queue::{Head, Turn},
    remote::raw,
};

/// The bounds of a question: a client, or other events, wait for the answer.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: 64 << 10,
};

/// How many answers are remembered: an event may come from several servers.
const MAX_ANSWERS: usize = 4_096;

/// How many policy servers are remembered that did not answer, and for how long they are not asked
/// about events of others.
const MAX_SILENT: usize = 512;
const SILENCE: Duration = Duration::from_secs(30);

/// What policy servers have answered.
pub(super) struct Answers {
    /// Signatures by event; none for an event that was refused.
    given: Cache<OwnedEventId, Option<Arc<str>>>,
    /// When a server did not answer.
    silent: Cache<OwnedServerName, MilliSecondsSinceUnixEpoch>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            given: Cache::new(MAX_ANSWERS),
            silent: Cache::new(MAX_SILENT),
        }
    }
}

impl Rooms {
    /// An event of elsewhere with the signature of the room's policy server, if there is one and it
    /// can be had; otherwise the event as it is. Nobody is asked about an event that the room does
    /// not let in anyway.
    pub(super) async fn recommended(&self, room: &RoomSnapshot, pdu: Arc<Pdu>) -> Arc<Pdu> {
        let Some(policy) = Policy::of(room) else {
            return pdu;
        };
        let allowed = room_versions::rules(&room.version)
            .is_ok_and(|rules| auth::authorize_against(rules, &pdu, room).is_ok());
        if !allowed || policy.check(&pdu, room).is_ok() {
            return pdu;
        }
        let answers = &self.inner.answers;
        let signature = match answers.given.get(pdu.event_id()) {
            Some(given) => given,
            None if self.is_silent(&policy) => None,
            None => match self.ask_policy(&policy, &pdu).await {
                Ok(signature) => Some(signature),
                Err(error) => {
                    let (server, event_id) = (policy.server(), pdu.event_id());
                    tracing::info!(%server, %event_id, %error, "an event is not recommended");
                    None
                }
            },
        };
        let signed = signature.and_then(|signature| policy.sign(&pdu, &signature, room).ok());
        signed.map_or(pdu, Arc::new)
    }

    /// Sends an event into a room with a policy server. The room goes on while that is asked; what
    /// comes meanwhile stands beside the event, which is judged when its turn comes.
    ///
    /// # Errors
    /// By the auth rules, and what the policy server refuses it with.
    pub(super) async fn send_by_policy(
        &self,
        policy: Policy,
        (head, turn): (Head, Turn),
        txn: Option<ClientTransaction>,
        intent: Intent,
    ) -> Result<OwnedEventId, RoomError> {
        let deps = &self.inner.deps;
        let Head {
            snapshot, outcome, ..
        } = head;
        let ts = intent.ts.unwrap_or_else(|| deps.clock.now());
        let sender = &intent.sender;
        let pdu = build::build(intent.template, &snapshot, sender, ts, &deps.signer)?;
        auth::authorize(room_versions::rules(&snapshot.version)?, &pdu, &snapshot)?;
        let event_id = pdu.event_id().to_owned();
        let (landing, landed) = in_flight::new();
        let _flight = txn
            .clone()
            .map(|txn| self.inner.in_flight.begin(txn, event_id.clone(), landed));
        drop(turn);
        let room = snapshot.no;
        if !in_flight::succeeded(outcome).await {
            // It stands on what did not happen.
            return Err(StoreError::Conflict { room }.into());
        }
        let pdu = self.with_signature(&policy, &snapshot, &pdu).await?;
        let judged = self.take_in(room, Arc::new(pdu), None, Way::Built(txn));
        match judged.await {
            Ok((Judged::Accepted | Judged::Known, _)) => {
                landing.send_replace(Some(true));
                Ok(event_id)
            }
            Ok((Judged::SoftFailed(reason) | Judged::Rejected(reason), _)) => {
                Err(RoomError::Unauthorized(reason))
            }
            Err(NotJudged::Room(error)) => Err(error),
            Err(_) => Err(RoomError::Damaged("an event stands on what is not here")),
        }
    }

    /// An event of ours with the signature of the policy server.
    ///
    /// # Errors
    /// What the policy server answers.
    pub(super) async fn with_signature(
        &self,
        policy: &Policy,
        room: &RoomSnapshot,
        pdu: &Pdu,
    ) -> Result<Pdu, RoomError> {
        let signature = self.ask_policy(policy, pdu).await?;
        policy
            .sign(pdu, &signature, room)
            .map_err(|error| RoomError::BadAnswer {
                server: policy.server().to_owned(),
                reason: error.to_string(),
            })
    }

    fn is_silent(&self, policy: &Policy) -> bool {
        let since = self.inner.answers.silent.get(policy.server());
        since.is_some_and(|since| self.clock().now() < later(since, SILENCE))
    }

    /// Asks a policy server for its signature.
    async fn ask_policy(&self, policy: &Policy, pdu: &Pdu) -> Result<Arc<str>, RoomError> {
        let server = policy.server();
        let request = Request::new(raw(pdu)?);
        let federation = &self.inner.deps.federation;
        let answer = federation.send_with(server, request, LIMITS).await;
        let answers = &self.inner.answers;
        let (outcome, answer) = match answer.map_err(RoomError::from) {
            Ok(answer) => match answer.ed25519_signature(server) {
                Some(signature) => ("signed", Ok(Arc::<str>::from(signature))),
                None => (
                    "refused",
                    Err(RoomError::Forbidden(
                        "The room's policy server refuses this event".to_owned(),
                    )),
                ),
            },
            Err(RoomError::Refused(refusal)) if is_final(refusal.status) => {
                ("refused", Err(RoomError::Refused(refusal)))
            }
            Err(error) => ("unavailable", Err(error)),
        };
        counter!("matryx_policy_requests_total", "outcome" => outcome).increment(1);
        if outcome == "unavailable" {
            answers.silent.insert(server.to_owned(), self.clock().now());
        } else {
            answers.silent.remove(server);
            let given = answer.as_ref().ok().map(Arc::clone);
            answers.given.insert(pdu.event_id().to_owned(), given);
        }
        answer
    }
}

/// Is it the event that a policy server says no to, and not us?
fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && ![401, 429].contains(&status)
}
