//! An ephemeral message for another server that must not get lost.

use std::time::Duration;

use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// How long a message waits for its server at most: what it was about is over by then, and a device
/// that comes back after so long makes new sessions.
pub const MAX_AGE: Duration = Duration::from_hours(30 * 24);

/// How many messages wait for one server at most.
pub const MAX_COUNT: usize = 100_000;

/// A message that waits for another server. Removed once that server has it; given up when it is
/// older than [`MAX_AGE`], or [`MAX_COUNT`] newer ones wait for the same server.
///
/// The log writer adds the position of its log entry to its key.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#edus)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedEdu {
    /// For which server.
    pub server: OwnedServerName,
    /// When it was queued.
    pub at: Position,
    /// The time at which it was queued.
    #[serde(default)]
    pub queued_ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The message, with its `edu_type`, as JSON.
    pub json: String,
}

/// When a message was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedAt {
    /// Its position.
    pub at: Position,
    /// The time, unless an older version of this program has written the message.
    pub queued_ts: Option<MilliSecondsSinceUnixEpoch>,
}

/// Which messages for one server are given up, of all that wait for it, in the order of their keys.
pub fn given_up(mut queued: Vec<QueuedAt>, now: MilliSecondsSinceUnixEpoch) -> Vec<Position> {
    queued.sort_by_key(|message| message.queued_ts);
    let age = u64::try_from(MAX_AGE.as_millis()).unwrap_or(u64::MAX);
    let oldest = u64::from(now.get()).saturating_sub(age);
    let is_old = |ts: MilliSecondsSinceUnixEpoch| u64::from(ts.get()) < oldest;
    let too_many = queued.len().saturating_sub(MAX_COUNT);
    let given_up = queued
        .iter()
        .enumerate()
        .filter(|(nth, message)| *nth < too_many || message.queued_ts.is_some_and(is_old));
    given_up.map(|(_, message)| message.at).collect()
}

impl QueuedEdu {
    /// What the keys of all messages for a server begin with.
    pub fn prefix(server: &ServerName) -> Key {
        key![server.as_str()]
    }
}

impl Stored for QueuedEdu {
    const TABLE: &'static str = "queued_edu";
    fn key(&self) -> Key {
        Self::prefix(&self.server)
    }
}

#[cfg(test)]
mod tests {
    use ruma::UInt;

    use super::*;

    fn ts(ms: u64) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::try_from(ms).unwrap())
    }

    fn queued(seq: u64, queued_ts: Option<u64>) -> QueuedAt {
        QueuedAt {
            at: (1, seq).into(),
            queued_ts: queued_ts.map(ts),
        }
    }

    #[test]
    fn old_messages_are_given_up() {
        let age = u64::try_from(MAX_AGE.as_millis()).unwrap();
        let messages = vec![
            queued(3, Some(11)),
            queued(2, Some(10)),
            queued(1, None),
            queued(4, Some(9)),
        ];
        assert_eq!(given_up(messages.clone(), ts(age + 9)), []);
        let old: Vec<Position> = vec![(1, 4).into(), (1, 2).into()];
        assert_eq!(given_up(messages, ts(age + 11)), old);
    }

    #[test]
    fn the_oldest_of_too_many_are_given_up() {
        let count = u64::try_from(MAX_COUNT).unwrap();
        let messages = |count| (1..=count).map(|seq| queued(seq, Some(5))).collect();
        assert_eq!(given_up(messages(count), ts(5)), []);
        let oldest: Vec<Position> = vec![(1, 1).into(), (1, 2).into()];
        assert_eq!(given_up(messages(count + 2), ts(5)), oldest);
    }
}
