//! The task of one outbox: one transaction after another, until there is nothing left to send.

use std::{error::Error, sync::Arc, time::Duration};

use matryx_client::{federation::FederationError, outbound::Limits};
use metrics::counter;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName, UInt,
    api::federation::transactions::send_transaction_message::v1::{Request, Response},
};
use serde_json::value::RawValue;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{
    SenderError, Shared, backoff,
    catch_up::Tour,
    outbox::{Batch, Refused},
    slots::LastAttempt,
};

/// The bounds of a transaction. Servers that answer only when they have worked through everything
/// take their time.
const LIMITS: Limits = Limits {
    time: Duration::from_mins(1),
    body: 1 << 20,
};

/// How long to wait after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// What a task is to do next.
enum Next {
    /// End: the outbox is gone.
    Nothing,
    /// Wait for the next attempt, or for a sign of life.
    Wait(Instant, Arc<Notify>),
    /// Send this.
    Send(Batch),
    /// Go on with what is in the log.
    CatchUp,
}

/// Why a transaction did not arrive.
pub(super) enum Failure {
    /// The other server does not want this one, and says so in its own words.
    Refused(FederationError),
    /// It may arrive later.
    Failed(FederationError),
}

impl Shared {
    /// Empties an outbox; ends with it, or when the server stops.
    pub(super) async fn deliver(self: Arc<Self>, server: OwnedServerName) {
        let shutdown = &self.deps.shutdown;
        shutdown.run_until_cancelled(self.empty(&server)).await;
    }

    async fn empty(&self, server: &OwnedServerName) {
        let mut tour: Option<Tour> = None;
        loop {
            if let Err(error) = self.send_messages(server).await {
                tracing::warn!(%server, %error, "cannot read what is to be sent");
                sleep(RETRY).await;
            }
            match self.next(server) {
                Next::Nothing => return,
                Next::Wait(until, bell) => {
                    tokio::select! {
                        () = sleep_until(until) => {}
                        () = bell.notified() => {}
                    }
                }
                Next::Send(batch) => match self.complete(batch).await {
                    Ok(batch) => self.send(server, batch).await,
                    Err(error) => {
                        tracing::warn!(%server, %error, "cannot read what is to be sent");
                        if let Some(outbox) = self.state.lock().outboxes.get_mut(server) {
                            outbox.put_back();
                        }
                        sleep(RETRY).await;
                    }
                },
                Next::CatchUp => {
                    if let Err(error) = self.catch_up(server, &mut tour).await {
                        tracing::warn!(%server, %error, "cannot read what is to be sent");
                        sleep(RETRY).await;
                    }
                }
            }
        }
    }

    fn next(&self, server: &ServerName) -> Next {
        let mut state = self.state.lock();
        let Some(outbox) = state.outboxes.get_mut(server) else {
            return Next::Nothing;
        };
        if let Some(lag) = &outbox.lag {
            return if lag.not_before > Instant::now() {
                Next::Wait(lag.not_before, Arc::clone(&outbox.bell))
            } else {
                Next::CatchUp
            };
        }
        if outbox.is_idle() {
            state.outboxes.remove(server);
            return Next::Nothing;
        }
        Next::Send(outbox.next(self.deps.clock.now()))
    }

    /// Finds out what there is to tell of device lists.
    pub(super) async fn complete(&self, mut batch: Batch) -> Result<Batch, SenderError> {
        let edus = self.list_edus(&std::mem::take(&mut batch.lists)).await?;
        batch.edus.splice(..0, edus);
        Ok(batch)
    }

    async fn send(&self, server: &OwnedServerName, batch: Batch) {
        let (pdus, edus) = (batch.pdus.len(), batch.edus.len());
        if batch.is_empty() {
            // All of it was about lists that are none.
            if let Some(outbox) = self.state.lock().outboxes.get_mut(server) {
                outbox.arrived(0);
            }
            return;
        }
        match self.transmit(server, batch).await {
            Ok(()) => {
                let mut state = self.state.lock();
                if let Some(outbox) = state.outboxes.get_mut(server) {
                    outbox.arrived(pdus);
                }
            }
            Err(Failure::Refused(error)) => {
                self.refused(server, pdus, edus, &error);
            }
            Err(Failure::Failed(error)) => self.failed(server, pdus > 0, &error).await,
        }
    }

    /// Notes that a server does not want a transaction. What to do about it.
    pub(super) fn refused(
        &self,
        server: &ServerName,
        pdus: usize,
        edus: usize,
        error: &FederationError,
    ) -> Refused {
        let error = causes(error);
        tracing::warn!(%server, pdus, edus, error, "a transaction was refused");
        let mut state = self.state.lock();
        match state.outboxes.get_mut(server) {
            Some(outbox) => outbox.refused(pdus, edus),
            None => Refused::GiveUp,
        }
    }

    /// Notes that a server can't be reached now, and when to try it again. `matters` says that
    /// something was on its way that must not get lost.
    pub(super) async fn failed(
        &self,
        server: &OwnedServerName,
        matters: bool,
        error: &FederationError,
    ) {
        let reason = causes(error);
        let time = self.deps.clock.now();
        let is_worth_a_record = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(outbox) = state.outboxes.get_mut(server) else {
                return;
            };
            outbox.ephemeral.put_back();
            let waits = matters || outbox.waits();
            outbox.fall_behind(&state.dispatched, time);
            let Some(lag) = &mut outbox.lag else { return };
            lag.failures = lag.failures.saturating_add(1);
            if lag.failures == 1 {
                tracing::info!(%server, reason, "a server can't be reached");
                lag.failing_since = time;
            }
            let wait = backoff::wait(&self.deps.retry, lag.failures, rand::random());
            let wait = wait.max(asked_to_wait(error).min(self.deps.retry.longest));
            lag.tried = Instant::now();
            lag.not_before = lag.tried + wait;
            lag.retry_at = later(time, wait);
            lag.reason = reason;
            waits || lag.recorded
        };
        if is_worth_a_record && let Err(error) = self.record(server).await {
            tracing::warn!(%server, %error, "what is left to be sent could not be noted");
        }
    }

    fn last_attempt(&self, server: &ServerName) -> LastAttempt {
        let state = self.state.lock();
        let lag = state.outboxes.get(server).and_then(|it| it.lag.as_ref());
        if lag.is_some_and(|lag| lag.failures > 0) {
            LastAttempt::Failed
        } else {
            LastAttempt::Answered
        }
    }

    /// Sends one transaction, as soon as not too many are under way.
    pub(super) async fn transmit(&self, server: &ServerName, batch: Batch) -> Result<(), Failure> {
        let mut request = Request::new(
            self.transactions.id(),
            self.server_name.clone(),
            self.deps.clock.now(),
        );
        let texts = batch.pdus.iter().map(|pdu| pdu.json().to_string());
        // The text of a stored event is JSON, or it would not have been parsed.
        request.pdus = texts
            .filter_map(|text| RawValue::from_string(text).ok())
            .collect();
        request.edus = batch.edus;
        let (pdus, edus) = (request.pdus.len(), request.edus.len());
        let slot = self.slots.take(self.last_attempt(server)).await;
        let answer = self
            .deps
            .federation
            .send_with(server, request, LIMITS)
            .await;
        drop(slot);
        let outcome = match &answer {
            Ok(_) => "arrived",
            Err(_) => "failed",
        };
        counter!("matryx_federation_transactions_total", "outcome" => outcome).increment(1);
        match answer {
            Ok(Response { pdus: results, .. }) => {
                counter!("matryx_federation_pdus_sent_total").increment(pdus as u64);
                counter!("matryx_federation_edus_sent_total").increment(edus as u64);
                for (event_id, result) in results {
                    if let Err(reason) = result {
                        tracing::info!(%server, %event_id, reason, "an event was not taken");
                    }
                }
                Ok(())
            }
            Err(error) if is_about_the_content(&error) => Err(Failure::Refused(error)),
            Err(error) => Err(Failure::Failed(error)),
        }
    }
}

/// Is it the transaction that is wrong, so that it would never be taken? A server says so as a Matrix
/// server does: a proxy before it may say anything.
fn is_about_the_content(error: &FederationError) -> bool {
    let source = match error {
        FederationError::Remote { source, .. } => source,
        // It can't even be signed.
        FederationError::Request(_) => return true,
        _ => return false,
    };
    error.kind().is_some() && [400, 413].contains(&source.status_code.as_u16())
}

/// How long a server asks to be left alone.
fn asked_to_wait(error: &FederationError) -> Duration {
    use ruma::api::error::{ErrorKind, RetryAfter};
    match error.kind() {
        Some(ErrorKind::LimitExceeded(data)) => match data.retry_after {
            Some(RetryAfter::Delay(wait)) => wait,
            _ => Duration::ZERO,
        },
        _ => Duration::ZERO,
    }
}

fn later(time: MilliSecondsSinceUnixEpoch, by: Duration) -> MilliSecondsSinceUnixEpoch {
    let by = UInt::try_from(by.as_millis()).unwrap_or(UInt::MAX);
    MilliSecondsSinceUnixEpoch(time.get().saturating_add(by))
}

/// An error and all its causes on one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
