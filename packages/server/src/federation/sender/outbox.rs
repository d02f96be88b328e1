//! What waits for one server, and how that server fares. No I/O.

use std::{collections::VecDeque, sync::Arc};

use matryx_entity::{destination::Destination, pdu::Pdu, position::Position};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId, api::federation::transactions::edu::Edu, serde::Raw,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    device_lists::{self, ListChange, ListChanges, Lists},
    ephemeral::Ephemeral,
    messages::Messages,
    reach::Reach,
};

/// The most events of a transaction.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#transactions)
pub(super) const MAX_PDUS: usize = 50;

/// The most events that wait in memory for one server; with more, the server lags and is served
/// from the log.
const MAX_QUEUE: usize = 1000;

/// An event that waits.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// The entry of the log that asked for it.
    pub(super) at: Position,
    pub(super) pdu: Arc<Pdu>,
}

/// A server that is not served live: it failed, or could not keep up.
#[derive(Debug)]
pub(super) struct Lag {
    /// Everything up to here was delivered.
    pub(super) delivered: Reach,
    /// Failures since the last success.
    pub(super) failures: u32,
    pub(super) failing_since: MilliSecondsSinceUnixEpoch,
    pub(super) retry_at: MilliSecondsSinceUnixEpoch,
    pub(super) reason: String,
    /// No attempt before this.
    pub(super) not_before: Instant,
    /// When the last attempt ended.
    pub(super) tried: Instant,
    /// Is there a record of it in the database? Without one, the mark of all must not pass it.
    pub(super) recorded: bool,
}

impl Lag {
    /// A server that has not failed.
    pub(super) fn new(delivered: Reach, now: Instant, time: MilliSecondsSinceUnixEpoch) -> Self {
        Self {
            delivered,
            failures: 0,
            failing_since: time,
            retry_at: time,
            reason: String::new(),
            not_before: now,
            tried: now,
            recorded: false,
        }
    }

    /// What a process before this one wrote down.
    pub(super) fn recorded(record: &Destination, now: Instant, not_before: Instant) -> Self {
        Self {
            delivered: Reach::new(record.delivered.iter().copied()),
            failures: record.failures,
            failing_since: record.failing_since,
            retry_at: record.retry_at,
            reason: record.reason.clone(),
            not_before,
            tried: now,
            recorded: true,
        }
    }
}

/// What waits for one server.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Events, oldest first. Those of the transaction that is on its way are still here.
    queue: VecDeque<Queued>,
    /// Device lists that have changed.
    pub(super) lists: Lists,
    pub(super) messages: Messages,
    pub(super) ephemeral: Ephemeral,
    pub(super) lag: Option<Lag>,
    /// Is there a task that empties this?
    pub(super) has_task: bool,
    /// Wakes the task while it waits for its next attempt.
    pub(super) bell: Arc<Notify>,
    /// The most events of the next transaction: fewer after one that was refused as a whole.
    limit: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            lists: Lists::default(),
            messages: Messages::default(),
            ephemeral: Ephemeral::default(),
            lag: None,
            has_task: false,
            bell: Arc::default(),
            limit: MAX_PDUS,
        }
    }
}

/// What goes out together.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) pdus: Vec<Arc<Pdu>>,
    /// Device lists of which is to be told; what, is found out last.
    pub(super) lists: ListChanges,
    pub(super) edus: Vec<Raw<Edu>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.pdus.is_empty() && self.lists.is_empty() && self.edus.is_empty()
    }
}

impl Outbox {
    /// That of a server that lags.
    pub(super) fn lagging(lag: Lag) -> Self {
        Self {
            lag: Some(lag),
            ..Self::default()
        }
    }

    /// Adds an event, unless the server is served from the log; with one too many it is from now
    /// on. `dispatched` is how far events have come to the outboxes.
    pub(super) fn push(
        &mut self,
        event: Queued,
        dispatched: &Reach,
        time: MilliSecondsSinceUnixEpoch,
    ) {
        if self.lag.is_some() {
            return;
        }
        self.queue.push_back(event);
        if self.queue.len() > MAX_QUEUE {
            self.fall_behind(dispatched, time);
        }
    }

    /// Adds a change of a device list, as [`Outbox::push`] does an event.
    pub(super) fn push_list(
        &mut self,
        (at, user, change): (Position, OwnedUserId, ListChange),
        dispatched: &Reach,
        time: MilliSecondsSinceUnixEpoch,
    ) {
        if self.lag.is_some() {
            return;
        }
        self.lists.add(at, user, change);
        if self.lists.len() > device_lists::MAX_USERS {
            self.fall_behind(dispatched, time);
        }
    }

    /// From now on the server is served from the log.
    pub(super) fn fall_behind(&mut self, dispatched: &Reach, time: MilliSecondsSinceUnixEpoch) {
        if self.lag.is_none() {
            let delivered = self.delivered(dispatched);
            self.lag = Some(Lag::new(delivered, Instant::now(), time));
        }
        self.queue.clear();
        self.lists = Lists::default();
    }

    /// Up to where everything was delivered, given how far events have come to the outboxes.
    pub(super) fn delivered(&self, dispatched: &Reach) -> Reach {
        if let Some(lag) = &self.lag {
            return lag.delivered.clone();
        }
        let mut delivered = dispatched.clone();
        for queued in &self.queue {
            delivered.end_before(queued.at);
        }
        for asked_at in self.lists.asked_at() {
            delivered.end_before(*asked_at);
        }
        delivered
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Does something wait that must not get lost?
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_empty() || !self.lists.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lag.is_none() && !self.waits() && !self.messages.wait() && self.ephemeral.is_empty()
    }

    /// Has a transaction been refused lately? Then events and the rest do not go together, so that
    /// it shows which of them is not wanted.
    pub(super) fn is_careful(&self) -> bool {
        self.limit < MAX_PDUS
    }

    /// The next transaction, which leaves now; its events stay queued until they have arrived.
    pub(super) fn next(&mut self, now: MilliSecondsSinceUnixEpoch) -> Batch {
        let pdus = self.queue.iter().take(self.limit);
        let pdus: Vec<_> = pdus.map(|queued| Arc::clone(&queued.pdu)).collect();
        let lists = if self.is_careful() && !pdus.is_empty() {
            ListChanges::new()
        } else {
            self.lists.take()
        };
        Batch {
            pdus,
            lists,
            edus: self.ephemeral.take(now),
        }
    }

    /// The next transaction could not be made.
    pub(super) fn put_back(&mut self) {
        self.lists.put_back();
        self.ephemeral.put_back();
    }

    /// A transaction with so many of the queued events arrived.
    pub(super) fn arrived(&mut self, count: usize) {
        self.ephemeral.arrived();
        self.lists.arrived();
        self.limit = (self.limit * 2).min(MAX_PDUS);
        // With a lag the queue is empty: what arrived then is known from the log.
        self.queue.drain(..count.min(self.queue.len()));
    }

    /// A transaction was refused as a whole; something in it is the reason. Its ephemeral messages
    /// are given up; the next transactions are smaller, and an event that was alone in one is given
    /// up as well.
    pub(super) fn refused(&mut self, pdus: usize, edus: usize) -> Refused {
        self.ephemeral.arrived();
        if pdus > 1 || (pdus == 1 && edus > 0) {
            self.limit = 1;
            self.lists.put_back();
            return Refused::TrySmaller;
        }
        self.lists.arrived();
        self.queue.drain(..pdus.min(self.queue.len()));
        Refused::GiveUp
    }
}

/// What to do about a transaction that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Send its events one by one.
    TrySmaller,
    /// It was only one: go on without it.
    GiveUp,
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, uint};
    use serde_json::json;

    use super::*;

    fn time() -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(uint!(1))
    }

    fn event(seq: u64) -> Queued {
        let json = json!({
            "type": "m.room.message",
            "sender": "@a:x",
            "content": {},
            "origin_server_ts": seq,
        });
        let id = format!("$e{seq}").try_into().unwrap();
        let pdu = Pdu::parse(id, room_id!("!r:x"), json.to_string(), false).unwrap();
        Queued {
            at: (1, seq).into(),
            pdu: Arc::new(pdu),
        }
    }

    fn reach(seq: u64) -> Reach {
        Reach::new([(1, seq).into()])
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        let pdus = batch.pdus.iter();
        pdus.map(|pdu| pdu.event_id().as_str()).collect()
    }

    #[test]
    fn events_leave_in_order_and_stay_until_they_arrived() {
        let mut outbox = Outbox::default();
        for seq in 1..=60 {
            outbox.push(event(seq), &reach(seq), time());
        }
        let first = outbox.next(time());
        assert_eq!(first.pdus.len(), MAX_PDUS);
        assert_eq!(ids(&first)[..2], ["$e1", "$e2"]);
        assert_eq!(outbox.delivered(&reach(99)), reach(0));
        outbox.push(event(61), &reach(61), time());
        outbox.arrived(first.pdus.len());
        assert_eq!(outbox.delivered(&reach(99)), reach(50));
        let second = outbox.next(time());
        assert_eq!(ids(&second).len(), 11);
        assert_eq!(ids(&second)[10], "$e61");
        outbox.arrived(11);
        assert!(outbox.is_idle());
        assert_eq!(outbox.delivered(&reach(99)), reach(99));
    }

    #[test]
    fn a_server_that_falls_behind_keeps_no_events_in_memory() {
        let mut outbox = Outbox::default();
        outbox.push(event(4), &reach(4), time());
        outbox.fall_behind(&reach(5), time());
        outbox.push(event(6), &reach(6), time());
        assert_eq!(outbox.queued(), 0);
        assert_eq!(outbox.delivered(&reach(99)), reach(3));
        assert!(!outbox.is_idle());

        let mut outbox = Outbox::default();
        for seq in 1..=1 + MAX_QUEUE as u64 {
            outbox.push(event(seq), &reach(seq), time());
        }
        assert_eq!(outbox.queued(), 0);
        assert_eq!(outbox.delivered(&reach(9999)), reach(0));
    }

    #[test]
    fn one_bad_event_does_not_stop_the_others() {
        let mut outbox = Outbox::default();
        for seq in 1..=3 {
            outbox.push(event(seq), &reach(seq), time());
        }
        assert_eq!(outbox.next(time()).pdus.len(), 3);
        assert_eq!(outbox.refused(3, 0), Refused::TrySmaller);
        assert_eq!(ids(&outbox.next(time())), ["$e1"]);
        assert_eq!(outbox.refused(1, 0), Refused::GiveUp);
        assert_eq!(ids(&outbox.next(time())), ["$e2"]);
        outbox.arrived(1);
        assert_eq!(outbox.limit(), 2);
        assert_eq!(ids(&outbox.next(time())), ["$e3"]);
    }
}
