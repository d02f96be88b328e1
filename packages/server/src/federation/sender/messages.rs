//! Messages that must not get lost though they are no events: those to devices.
//!
//! They wait in the database, each a row that says for which server it is; in memory is only whether
//! there may be some. They leave in order, in transactions of their own, which go before events so
//! that keys are there before what they are for. A row goes once its transaction has arrived; what a
//! crash sends twice, the other server knows by the message's id. Neither kind of transaction waits
//! for the other to succeed.

use matryx_entity::{position::Position, queued_edu::QueuedEdu};
use matryx_surrealdb::{KeyRange, StoreError};
use ruma::{OwnedServerName, ServerName, api::federation::transactions::edu::Edu, serde::Raw};
use tokio::time::Instant;

use super::{SenderError, Shared, deliver::Failure, outbox::Batch};

/// The most messages of a transaction.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#transactions)
const MAX_MESSAGES: usize = 100;

/// The most bytes of messages in a transaction, unless a single one is larger.
const MAX_BYTES: usize = 1 << 20;

/// Whether messages wait for one server, and how they fare.
#[derive(Debug)]
pub(super) struct Messages {
    /// There may be some in the database.
    wait: bool,
    /// Events have the next turn: the last messages did not arrive.
    yields: bool,
    /// The most of the next transaction: fewer after one that was refused as a whole.
    limit: usize,
    /// Arrived, and still in the database.
    arrived: Vec<Position>,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            wait: false,
            yields: false,
            limit: MAX_MESSAGES,
            arrived: Vec::new(),
        }
    }
}

/// What is to be done about messages next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Turn {
    /// Remove these.
    arrived: Vec<Position>,
    /// Then send so many.
    limit: usize,
}

impl Messages {
    /// There is a new one in the database.
    pub(super) fn wake(&mut self) {
        self.wait = true;
    }

    /// Is there something to do?
    pub(super) fn wait(&self) -> bool {
        self.wait || !self.arrived.is_empty()
    }

    fn turn(&mut self) -> Option<Turn> {
        if std::mem::take(&mut self.yields) || !self.wait() {
            return None;
        }
        // What comes from now on may not be among those that are read.
        self.wait = false;
        Some(Turn {
            arrived: self.arrived.clone(),
            limit: self.limit,
        })
    }

    /// The removed ones are gone.
    fn removed(&mut self, turn: &Turn) {
        self.arrived.retain(|at| !turn.arrived.contains(at));
    }

    /// These arrived. There may be more of them.
    fn arrived(&mut self, places: Vec<Position>) {
        self.wait = true;
        self.limit = (self.limit * 2).min(MAX_MESSAGES);
        self.arrived.extend(places);
    }

    /// These were refused. Those of several are tried one by one; one alone is given up.
    fn refused(&mut self, places: Vec<Position>) {
        self.wait = true;
        if places.len() > 1 {
            self.limit = 1;
        } else {
            self.arrived.extend(places);
        }
    }

    /// They did not arrive.
    fn failed(&mut self) {
        self.wait = true;
        self.yields = true;
    }
}

/// As many messages as one transaction has room for, at least one.
fn fitting(rows: Vec<QueuedEdu>) -> (Vec<Position>, Vec<Raw<Edu>>) {
    let mut bytes = 0;
    rows.into_iter()
        .take_while(|row| {
            let is_first = bytes == 0;
            bytes += row.json.len();
            is_first || bytes <= MAX_BYTES
        })
        // What is written there is JSON.
        .filter_map(|row| Some((row.at, Raw::from_json_string(row.json).ok()?)))
        .unzip()
}

impl Shared {
    /// All servers for which messages wait.
    pub(super) async fn read_waiting(&self) -> Result<Vec<OwnedServerName>, StoreError> {
        self.deps.store.servers_of_queued_edus().await
    }

    /// Sends one transaction of messages, if some wait and the server is not left alone now.
    pub(super) async fn send_messages(&self, server: &OwnedServerName) -> Result<(), SenderError> {
        let Some(turn) = self.turn_of_messages(server) else {
            return Ok(());
        };
        let read = self.read_messages(server, &turn).await;
        let rows = match read {
            Ok(rows) => rows,
            Err(error) => {
                self.with_messages(server, Messages::failed);
                return Err(error.into());
            }
        };
        self.with_messages(server, |messages| messages.removed(&turn));
        let (places, edus) = fitting(rows);
        if places.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            edus,
            ..Batch::default()
        };
        match self.transmit(server, batch).await {
            Ok(()) => {
                self.with_messages(server, |messages| messages.arrived(places));
                self.is_back(server).await?;
            }
            Err(Failure::Refused(error)) => {
                tracing::warn!(%server, messages = places.len(), %error, "messages were refused");
                self.with_messages(server, |messages| messages.refused(places));
            }
            Err(Failure::Failed(error)) => {
                self.with_messages(server, Messages::failed);
                self.failed(server, true, &error).await;
            }
        }
        Ok(())
    }

    fn turn_of_messages(&self, server: &ServerName) -> Option<Turn> {
        let mut state = self.state.lock();
        let outbox = state.outboxes.get_mut(server)?;
        let now = Instant::now();
        if outbox.lag.as_ref().is_some_and(|lag| lag.not_before > now) {
            return None;
        }
        outbox.messages.turn()
    }

    /// Removes what arrived, and reads what comes next.
    async fn read_messages(
        &self,
        server: &ServerName,
        turn: &Turn,
    ) -> Result<Vec<QueuedEdu>, StoreError> {
        let store = &self.deps.store;
        let prefix = QueuedEdu::prefix(server);
        let arrived = turn.arrived.iter().map(|at| prefix.clone().at(*at));
        store
            .remove::<QueuedEdu>(&arrived.collect::<Vec<_>>())
            .await?;
        store
            .first_of_range(KeyRange::prefix(&prefix), turn.limit)
            .await
    }

    fn with_messages(&self, server: &ServerName, change: impl FnOnce(&mut Messages)) {
        if let Some(outbox) = self.state.lock().outboxes.get_mut(server) {
            change(&mut outbox.messages);
        }
    }

    /// The server has answered. What it missed comes from the log, if it did.
    async fn is_back(&self, server: &OwnedServerName) -> Result<(), SenderError> {
        let delivered = {
            let state = self.state.lock();
            let lag = state.outboxes.get(server).and_then(|it| it.lag.as_ref());
            lag.map(|lag| lag.delivered.clone())
        };
        match delivered {
            Some(delivered) => self.progressed(server, delivered).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn at(seq: u64) -> Position {
        (1, seq).into()
    }

    #[test]
    fn rows_go_before_the_next_are_read() {
        let mut messages = Messages::default();
        assert_eq!(messages.turn(), None);
        messages.wake();
        let turn = messages.turn().unwrap();
        assert_eq!((turn.arrived.len(), turn.limit), (0, MAX_MESSAGES));
        assert!(!messages.wait());
        messages.wake();
        messages.arrived(vec![at(1), at(2)]);
        let turn = messages.turn().unwrap();
        assert_eq!(turn.arrived, [at(1), at(2)]);
        // They could not be removed: that is tried again, after events had their turn.
        messages.failed();
        assert_eq!(messages.turn(), None);
        let turn = messages.turn().unwrap();
        assert_eq!(turn.arrived, [at(1), at(2)]);
        messages.removed(&turn);
        assert!(!messages.wait());
    }

    #[test]
    fn one_bad_message_does_not_stop_the_others() {
        let mut messages = Messages::default();
        messages.wake();
        messages.turn().unwrap();
        messages.refused(vec![at(1), at(2), at(3)]);
        assert_eq!(
            messages.turn(),
            Some(Turn {
                arrived: vec![],
                limit: 1
            })
        );
        messages.refused(vec![at(1)]);
        let turn = messages.turn().unwrap();
        assert_eq!(
            turn,
            Turn {
                arrived: vec![at(1)],
                limit: 1
            }
        );
        messages.removed(&turn);
        messages.arrived(vec![at(2)]);
        assert_eq!(messages.turn().unwrap().limit, 2);
    }

    #[test]
    fn a_transaction_has_room_for_so_many_bytes() {
        let rows = |sizes: &[usize]| -> Vec<QueuedEdu> {
            let rows = (1..).zip(sizes).map(|(seq, size)| QueuedEdu {
                server: server_name!("x").to_owned(),
                at: at(seq),
                queued_ts: None,
                json: format!("\"{}\"", "x".repeat(*size)),
            });
            rows.collect()
        };
        let count = |sizes: &[usize]| fitting(rows(sizes)).0.len();
        assert_eq!(count(&[10; 100]), 100);
        assert_eq!(count(&[MAX_BYTES / 2 - 2, MAX_BYTES / 2 - 2, 1]), 2);
        assert_eq!(count(&[2 * MAX_BYTES, 1]), 1);
        assert_eq!(count(&[]), 0);
    }
}
