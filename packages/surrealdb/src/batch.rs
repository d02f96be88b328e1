//! The plans of one transaction, folded into the rows that it writes.
//!
//! The cheapest text is one INSERT of all new rows of all tables; replacing a row costs half as
//! much again, so that it is kept apart. The statements do not keep the order in which plans wrote
//! the same record: the fold leaves one change per record, and ends the batch before a plan whose
//! change depends on an earlier one having happened.

use std::collections::{HashMap, VecDeque};

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
    plan::{Change, CommittedEntry, Plan, Row, stamp},
    queue::Queued,
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
    pub(crate) deletes: Vec<Value>,
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
            let unencodable = |source: codec::CodecError| StoreError::Unencodable {
                table: write.table,
                source: source.into(),
            };
            let (mut kind, row) = match &write.change {
                Change::Create { row, stamp } => (Kind::Create, Some((row, stamp))),
                Change::Put { row, stamp } => (Kind::Put, Some((row, stamp))),
                Change::Delete => (Kind::Delete, None),
            };
            let row = match row {
                Some((row, at)) => {
                    let mut row = row.clone();
                    if let Some(at) = at {
                        stamp(&mut row, *at, first).map_err(unencodable)?;
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
            let mut row =
                codec::to_row(&entry.entry).map_err(|source| StoreError::Unencodable {
                    table: LogRow::TABLE,
                    source: source.into(),
                })?;
            let id = codec::record_id(LogRow::TABLE, &LogRow::key_of(at));
            row.insert("id".to_owned(), Value::RecordId(id));
            self.creates.push(Value::Object(Object::from(row)));
            self.entries.push(CommittedEntry {
                at,
                entry: entry.entry.clone(),
                attachment: entry.attachment.clone(),
            });
        }
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
            let id = Value::RecordId(codec::record_id(name.0, name.1));
            match (kind, row) {
                (Kind::Create, Some(mut row)) => {
                    self.state_groups += u64::from(name.0 == StateGroup::TABLE);
                    row.insert("id".to_owned(), id);
                    self.creates.push(Value::Object(Object::from(row)));
                }
                (Kind::Put, Some(mut row)) => {
                    row.remove("id");
                    let row = Value::Object(Object::from(row));
                    self.puts.push(Value::Array(Array::from(vec![id, row])));
                }
                _ => self.deletes.push(id),
            }
        }
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
                Change::Put { .. } => true,
            },
            _ => true,
        })
}

/// The record of a plan that has the id, as the database writes ids in its errors.
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
