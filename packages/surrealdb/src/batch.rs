//! The plans of one transaction, folded into the rows that it writes.
//!
//! The cheapest text is one INSERT of all new rows of all tables; replacing a row costs half as
//! much again, so that it is kept apart. The statements do not keep the order in which plans wrote
//! the same record: the fold leaves one change per record, and ends the batch before a plan whose
//! change depends on an earlier one having happened.

use std::collections::{HashMap, HashSet, VecDeque};

use matryx_entity::{
    log::LogRow,
    position::Position,
    state::StateGroup,
    stored::{Key, Stored},
};
use surrealdb_types::{Array, Object, RecordId, ToSql, Value};

use crate::{
    codec,
    error::StoreError,
    plan::{Change, CommittedEntry, Plan, Row, Write, stamp},
    queue::Queued,
    removal::RecordName,
};

/// One transaction.
pub(crate) struct Batch {
    /// How many of the plans it was made of it carries.
    pub(crate) plans: usize,
    /// The position before its first log entry.
    pub(crate) before: Position,
    /// Its log entries.
    pub(crate) entries: Vec<CommittedEntry>,
    pub(crate) creates: Vec<Value>,
    pub(crate) puts: Vec<Value>,
    pub(crate) deletes: Vec<RecordName>,
    /// Its new rows whose keys end in a position: nothing that is written otherwise has such a key.
    placed: HashSet<(&'static str, Key)>,
    /// How many of its new rows are state groups, whose number is watched.
    pub(crate) state_groups: u64,
}

/// Why the first plan cannot be written at all.
pub(crate) type Unwritable = StoreError;

/// One record's change while the fold goes on.
struct Folded {
    plan: usize,
    kind: Kind,
    row: Option<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Put,
    Delete,
}

impl Batch {
    /// Folds as many of the plans as go into one transaction, at least one.
    pub(crate) fn fold(plans: &VecDeque<Queued>, before: Position) -> Result<Self, Unwritable> {
        let mut batch = Self::empty(before);
        let mut records: HashMap<(&'static str, &Key), Folded> = HashMap::new();
        let mut order: Vec<(&'static str, &Key)> = Vec::new();
        for (index, Queued { plan, .. }) in plans.iter().enumerate() {
            if index > 0 && !fits(plan, index, &records) {
                break;
            }
            match batch.add(plan, index, &mut records, &mut order) {
                Ok(()) => batch.plans += 1,
                Err(error) if index == 0 => return Err(error),
                // Written alone it fails for itself. What it has left here is undone by folding
                // the others anew.
                Err(_) => {
                    let before_it = batch.plans;
                    return Self::fold_first(plans, before, before_it);
                }
            }
        }
        batch.collect(records, order);
        Ok(batch)
    }

    fn fold_first(
        plans: &VecDeque<Queued>,
        before: Position,
        count: usize,
    ) -> Result<Self, Unwritable> {
        let mut batch = Self::empty(before);
        batch.plans = count;
        let (mut records, mut order) = (HashMap::new(), Vec::new());
        for (index, Queued { plan, .. }) in plans.iter().take(count).enumerate() {
            batch.add(plan, index, &mut records, &mut order)?;
        }
        batch.collect(records, order);
        Ok(batch)
    }

    fn empty(before: Position) -> Self {
        Self {
            plans: 0,
            before,
            entries: Vec::new(),
            creates: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            placed: HashSet::new(),
            state_groups: 0,
        }
    }

    /// The position of the last log entry, or the one before the first if there is none.
    pub(crate) fn last(&self) -> Position {
        Position {
            seq: self.before.seq + self.entries.len() as u64,
            ..self.before
        }
    }

    /// How many rows it writes, the log's among them.
    pub(crate) fn rows(&self) -> usize {
        self.creates.len() + self.puts.len() + self.deletes.len()
    }

    fn add<'a>(
        &mut self,
        plan: &'a Plan,
        index: usize,
        records: &mut HashMap<(&'static str, &'a Key), Folded>,
        order: &mut Vec<(&'static str, &'a Key)>,
    ) -> Result<(), StoreError> {
        let first = Position {
            seq: self.last().seq + 1,
            ..self.before
        };
        for write in &plan.writes {
            let unencodable = |source| unencodable(write.table, source);
            let (mut kind, row) = match &write.change {
                Change::Create { row, stamp } => (Kind::Create, Some((row, stamp))),
                Change::CreateAt { row, at } => {
                    self.place(write, row.clone(), at.from(first))?;
                    continue;
                }
                Change::Put { row, stamp } => (Kind::Put, Some((row, stamp))),
                Change::Delete => (Kind::Delete, None),
            };
            let row = match row {
                Some((row, at)) => {
                    let mut row = row.clone();
                    if let Some(at) = at {
                        stamp(&mut row, at.from(first)).map_err(unencodable)?;
                    }
                    Some(row)
                }
                None => None,
            };
            let name = (write.table, &write.key);
            match records.get(&name) {
                None => order.push(name),
                Some(earlier) if earlier.plan == index => match (earlier.kind, kind) {
                    (Kind::Create | Kind::Put, Kind::Create) => {
                        return Err(StoreError::Exists {
                            table: write.table,
                            key: write.key.clone(),
                        });
                    }
                    (Kind::Create, Kind::Put) => kind = Kind::Create,
                    (Kind::Delete, Kind::Create) => kind = Kind::Put,
                    _ => {}
                },
                Some(earlier) => {
                    if (earlier.kind, kind) == (Kind::Create, Kind::Put) {
                        kind = Kind::Create;
                    }
                }
            }
            records.insert(
                name,
                Folded {
                    plan: index,
                    kind,
                    row,
                },
            );
        }
        for (entry, seq) in plan.log.iter().zip(first.seq..) {
            let at = Position { seq, ..first };
            let row =
                codec::to_row(&entry.entry).map_err(|source| unencodable(LogRow::TABLE, source))?;
            self.creates
                .push(new_row(LogRow::TABLE, &LogRow::key_of(at), row));
            self.entries.push(CommittedEntry {
                at,
                entry: entry.entry.clone(),
                attachment: entry.attachment.clone(),
            });
        }
        Ok(())
    }

    /// Adds a new row whose key ends in a position.
    fn place(&mut self, write: &Write, mut row: Row, at: Position) -> Result<(), StoreError> {
        stamp(&mut row, at).map_err(|source| unencodable(write.table, source))?;
        let key = write.key.clone().at(at);
        let created = new_row(write.table, &key, row);
        if !self.placed.insert((write.table, key.clone())) {
            return Err(StoreError::Exists {
                table: write.table,
                key,
            });
        }
        self.creates.push(created);
        Ok(())
    }

    fn collect<'a>(
        &mut self,
        mut records: HashMap<(&'static str, &'a Key), Folded>,
        order: Vec<(&'static str, &'a Key)>,
    ) {
        for name in order {
            let Some(Folded { kind, row, .. }) = records.remove(&name) else {
                continue;
            };
            let id = || Value::RecordId(codec::record_id(name.0, name.1));
            match (kind, row) {
                (Kind::Create, Some(row)) => {
                    self.state_groups += u64::from(name.0 == StateGroup::TABLE);
                    self.creates.push(new_row(name.0, name.1, row));
                }
                (Kind::Put, Some(mut row)) => {
                    row.remove("id");
                    let row = Value::Object(Object::from(row));
                    self.puts.push(Value::Array(Array::from(vec![id(), row])));
                }
                _ => self.deletes.push((name.0, name.1.clone())),
            }
        }
    }
}

/// A row with its id, as the INSERT takes it.
fn new_row(table: &'static str, key: &Key, mut row: Row) -> Value {
    let id = codec::record_id(table, key);
    row.insert("id".to_owned(), Value::RecordId(id));
    Value::Object(Object::from(row))
}

fn unencodable(table: &'static str, source: codec::CodecError) -> StoreError {
    StoreError::Unencodable {
        table,
        source: source.into(),
    }
}

/// Whether a plan can join the plans before it: nothing that it asserts may depend on them.
fn fits(plan: &Plan, index: usize, records: &HashMap<(&'static str, &Key), Folded>) -> bool {
    plan.writes
        .iter()
        .all(|write| match records.get(&(write.table, &write.key)) {
            Some(earlier) if earlier.plan != index => match write.change {
                Change::Create { .. } => false,
                Change::Delete => earlier.kind != Kind::Create,
                Change::Put { .. } | Change::CreateAt { .. } => true,
            },
            _ => true,
        })
}

/// The record of a plan that has the id, as the database writes ids in its errors. A record whose
/// key ends in a position is none: like a log entry, it is there only if the log has moved on.
pub(crate) fn created_as(plan: &Plan, id: &str) -> Option<(&'static str, Key)> {
    let creates = plan
        .writes
        .iter()
        .filter(|write| matches!(write.change, Change::Create { .. }));
    creates
        .map(|write| (write.table, &write.key))
        .find(|(table, key)| RecordId::to_sql(&codec::record_id(table, key)) == id)
        .map(|(table, key)| (table, key.clone()))
}
