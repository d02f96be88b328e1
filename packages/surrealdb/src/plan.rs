//! A plan: everything that one decision writes, committed together or not at all.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use matryx_entity::{
    log::LogEntry,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};
use surrealdb_types::Value;

use crate::{codec, error::StoreError, removal::RecordName};

/// Something that the writer hands to the local consumers of the log together with an entry, so
/// that they need not read the rows back.
pub type Attachment = Arc<dyn Any + Send + Sync>;

/// The columns of a row.
pub(crate) type Row = BTreeMap<String, Value>;

/// The column of a row in which a position is stamped.
const STAMP: &str = "at";

/// A column that is stamped as well if it says "now", which is the position before the first.
const STAMP_IF_NOW: &str = "since";

/// Names one log entry of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIndex(usize);

/// What one write does to a record.
#[derive(Debug)]
pub(crate) enum Change {
    Create {
        row: Row,
        stamp: Option<LogIndex>,
    },
    /// The position of the log entry is the end of the key, and is stamped.
    CreateAt {
        row: Row,
        at: LogIndex,
    },
    Put {
        row: Row,
        stamp: Option<LogIndex>,
    },
    Delete,
}

/// One record that a plan writes.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) table: &'static str,
    pub(crate) key: Key,
    pub(crate) change: Change,
}

/// One log entry that a plan appends.
#[derive(Clone)]
pub(crate) struct Appended {
    pub(crate) entry: LogEntry,
    pub(crate) attachment: Option<Attachment>,
}

/// Ties the plans of a room together; see [`Plan::fence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) room: RoomNo,
    pub(crate) epoch: u64,
}

/// A set of writes and log entries that are committed together or not at all.
///
/// Rows are encoded when they are added. A record that cannot be encoded makes the commit fail.
#[derive(Default)]
#[must_use = "a plan does nothing until it is committed"]
pub struct Plan {
    pub(crate) writes: Vec<Write>,
    pub(crate) log: Vec<Appended>,
    pub(crate) fence: Option<Fence>,
    pub(crate) bytes: usize,
    pub(crate) broken: Option<StoreError>,
    /// What goes after the commit.
    pub(crate) leftovers: Vec<RecordName>,
}

impl Plan {
    /// An empty plan.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record that must not exist: otherwise the commit fails with
    /// [`StoreError::Exists`].
    pub fn create<T: Stored>(&mut self, record: &T) -> &mut Self {
        self.write(record, None, |row, stamp| Change::Create { row, stamp })
    }

    /// Adds a record, replacing the one that may exist.
    pub fn put<T: Stored>(&mut self, record: &T) -> &mut Self {
        self.write(record, None, |row, stamp| Change::Put { row, stamp })
    }

    /// Like [`Plan::create`]; the record's field `at` becomes the position of a log entry,
    /// and so does its field `since` if that is the position before the first.
    pub fn create_stamped<T: Stored>(&mut self, record: &T, at: LogIndex) -> &mut Self {
        self.write(record, Some(at), |row, stamp| Change::Create { row, stamp })
    }

    /// Like [`Plan::create_stamped`]; the position of the log entry is also added to the record's
    /// key, as its node and its sequence number. One log entry makes at most one such record of a
    /// key.
    pub fn create_at<T: Stored>(&mut self, record: &T, at: LogIndex) -> &mut Self {
        self.write(record, Some(at), |row, _| Change::CreateAt { row, at })
    }

    /// Like [`Plan::put`], stamped as by [`Plan::create_stamped`].
    pub fn put_stamped<T: Stored>(&mut self, record: &T, at: LogIndex) -> &mut Self {
        self.write(record, Some(at), |row, stamp| Change::Put { row, stamp })
    }

    /// Removes a record, if it exists.
    pub fn delete<T: Stored>(&mut self, key: &Key) -> &mut Self {
        self.push(
            Write {
                table: T::TABLE,
                key: key.clone(),
                change: Change::Delete,
            },
            64,
        )
    }

    /// Removes a record after the commit, if it exists and the plan is committed: past the log
    /// writer, for which all others wait, and which a removal takes twenty times as long as a row.
    /// After a crash in between the record is still there. For what nobody looks for any more.
    pub fn delete_after<T: Stored>(&mut self, key: &Key) -> &mut Self {
        self.leftovers.push((T::TABLE, key.clone()));
        self
    }

    /// Appends an entry to the commit log.
    pub fn log(&mut self, entry: LogEntry) -> LogIndex {
        self.append(entry, None)
    }

    /// Appends an entry to the commit log, with something for the consumers in this process.
    pub fn log_with(&mut self, entry: LogEntry, attachment: Attachment) -> LogIndex {
        self.append(entry, Some(attachment))
    }

    /// Makes this plan fail with [`StoreError::Conflict`] if an earlier plan with the same room
    /// and the same or a later epoch failed: it was built on that one. The room's writer counts
    /// its epoch up when it has reloaded the room after a failure.
    pub fn fence(&mut self, room: RoomNo, epoch: u64) -> &mut Self {
        self.fence = Some(Fence { room, epoch });
        self
    }

    /// How many entries it appends to the commit log.
    pub fn entries(&self) -> u64 {
        self.log.len() as u64
    }

    /// Whether there is anything to commit.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.log.is_empty()
    }

    fn append(&mut self, entry: LogEntry, attachment: Option<Attachment>) -> LogIndex {
        self.bytes += 256;
        self.log.push(Appended { entry, attachment });
        LogIndex(self.log.len() - 1)
    }

    fn write<T: Stored>(
        &mut self,
        record: &T,
        stamp: Option<LogIndex>,
        change: impl FnOnce(Row, Option<LogIndex>) -> Change,
    ) -> &mut Self {
        match codec::to_row(record) {
            Ok(row) => {
                let bytes = row.values().map(size_of_value).sum::<usize>() + 32 * row.len();
                let write = Write {
                    table: T::TABLE,
                    key: record.key(),
                    change: change(row, stamp),
                };
                self.push(write, bytes)
            }
            Err(error) => {
                self.broken.get_or_insert(StoreError::Unencodable {
                    table: T::TABLE,
                    source: Arc::new(error),
                });
                self
            }
        }
    }

    fn push(&mut self, write: Write, bytes: usize) -> &mut Self {
        self.bytes += bytes;
        self.writes.push(write);
        self
    }
}

impl LogIndex {
    /// The position of the entry, given that of the plan's first.
    pub(crate) fn from(self, first: Position) -> Position {
        Position {
            node: first.node,
            seq: first.seq + self.0 as u64,
        }
    }
}

/// Writes the stamp into a row, once positions are known.
pub(crate) fn stamp(row: &mut Row, position: Position) -> Result<(), codec::CodecError> {
    let position = codec::to_value(&position)?;
    let now = codec::to_value(&Position::default())?;
    if let Some(since) = row.get_mut(STAMP_IF_NOW).filter(|since| **since == now) {
        *since = position.clone();
    }
    row.insert(STAMP.to_owned(), position);
    Ok(())
}

/// Roughly how many bytes a value takes in memory.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 24,
        Value::Bytes(bytes) => bytes.len() + 24,
        Value::Array(items) => items.iter().map(size_of_value).sum::<usize>() + 24,
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len() + size_of_value(value) + 32)
            .sum(),
        _ => 16,
    }
}

/// What a commit gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub(crate) first: Position,
    pub(crate) count: usize,
}

impl Committed {
    /// The position of one of the plan's log entries.
    pub fn at(&self, index: LogIndex) -> Position {
        index.from(self.first)
    }

    /// The position of the plan's last log entry; none if it appended nothing.
    pub fn last(&self) -> Option<Position> {
        self.count
            .checked_sub(1)
            .map(|last| self.at(LogIndex(last)))
    }
}

/// A committed log entry on its way to the consumers in this process.
#[derive(Clone)]
pub struct CommittedEntry {
    /// Its position.
    pub at: Position,
    /// What changed.
    pub entry: LogEntry,
    /// What the writer of the plan attached.
    pub attachment: Option<Attachment>,
}

/// The log entries of one transaction, in order, without a gap to those of the transaction before.
#[derive(Clone)]
pub struct CommittedBatch {
    /// The entries.
    pub entries: Vec<CommittedEntry>,
}
