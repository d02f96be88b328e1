//! What the server acknowledged, and what it was asked but could not answer before it died.

use super::cell::Cell;
use super::sessions::Session;

/// An account and one of its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) localpart: String,
    pub(crate) user_id: String,
    pub(crate) token: String,
}

/// A message that was sent. Without an event id it was not answered: it may or may not exist, and
/// once its transaction id is sent again it must exist exactly once.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) room_id: String,
    pub(crate) sender: Account,
    pub(crate) txn_id: String,
    pub(crate) body: String,
    pub(crate) event_id: Option<String>,
    pub(crate) redaction: Redaction,
}

/// Whether a message was redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redaction {
    /// Nobody asked.
    No,
    /// Asked, not answered: both outcomes are right.
    Asked,
    /// Acknowledged as this redaction event.
    Done(String),
}

/// A room that was created.
#[expect(clippy::struct_field_names, reason = "`room_id` is the spec's name")]
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) room_id: String,
    pub(crate) name: String,
    pub(crate) creator: Account,
}

/// A person who joined a room.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) room_id: String,
    pub(crate) account: Account,
}

/// How far one client had followed `/sync`.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) account: Account,
    pub(crate) since: String,
    /// Room and event ids in the order in which they came.
    pub(crate) seen: Vec<(String, String)>,
}

/// Everything that one loop's writers did.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) accounts: Vec<Account>,
    pub(crate) rooms: Vec<Room>,
    pub(crate) joins: Vec<Joined>,
    /// Each sender's messages in the order in which it sent them.
    pub(crate) sent: Vec<Sent>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) followed: Vec<Followed>,
    /// Answers other than 200: no writer does what may be refused.
    pub(crate) refusals: Vec<String>,
}

impl Ledger {
    /// Adds what another writer did.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.accounts.extend(other.accounts);
        self.rooms.extend(other.rooms);
        self.joins.extend(other.joins);
        self.sent.extend(other.sent);
        self.cells.extend(other.cells);
        self.sessions.extend(other.sessions);
        self.followed.extend(other.followed);
        self.refusals.extend(other.refusals);
    }

    /// How many writes were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        let sent = self
            .sent
            .iter()
            .filter(|sent| sent.event_id.is_some())
            .count();
        let cells = self.cells.iter();
        self.accounts.len()
            + self.rooms.len()
            + self.joins.len()
            + sent
            + cells.filter(|cell| cell.acknowledged.is_some()).count()
            + self.sessions.len()
    }
}
