//! Who this process is: its number, its epoch, and the room numbers that derive from them.

use std::sync::atomic::{AtomicI64, Ordering};

use matryx_entity::{
    node::{Bell, Node},
    position::NodeNo,
    room_no::RoomNo,
    stored::Stored,
};
use surrealdb_types::{RecordId, Value, Variables};

use crate::{
    config::StoreConfig,
    database::{Database, variables},
    error::StoreError,
    migrate::SchemaProblem,
};

/// Takes a number, new or known, for one more start.
const START: &str = "
    BEGIN;
    LET $row = SELECT * FROM ONLY $node;
    LET $old = SELECT * FROM ONLY $bell;
    LET $epoch = ($row.epoch ?? 0) + 1;
    UPSERT $node CONTENT {
        node: $number, epoch: $epoch, horizon: $row.horizon ?? 1
    } RETURN NONE;
    UPSERT $bell CONTENT {
        node: $number, seq: $old.seq ?? 0, epoch: $epoch, batch: 0
    } RETURN NONE;
    COMMIT;
    SELECT * FROM ONLY $node;
    SELECT * FROM ONLY $bell;
";

/// The slots of the last two statements of [`START`].
const STARTED: (usize, usize) = (7, 8);

const TAKEN: &str = "SELECT VALUE node FROM node";

/// A room number is `node · 2⁴⁷ + epoch · 2²⁵ + counter`: 16 + 22 + 25 bits.
const COUNTER_BITS: u32 = 25;
const EPOCH_BITS: u32 = 22;

/// This process's number and epoch.
pub(crate) struct Identity {
    pub(crate) node: NodeNo,
    base: i64,
    rooms: AtomicI64,
}

impl Identity {
    /// Takes the configured number, number 1 of an embedded database, or the next free one.
    pub(crate) async fn take(
        database: &Database,
        config: &StoreConfig,
    ) -> Result<(Self, Bell), StoreError> {
        let number = match config.node {
            Some(number) => number,
            None if database.is_embedded() => 1,
            None => next_free(database).await?,
        };
        let id = |table| Value::RecordId(RecordId::new(table, i64::from(number)));
        let variables = variables([
            ("node", id(Node::TABLE)),
            ("bell", id(Bell::TABLE)),
            ("number", Value::Number(i64::from(number).into())),
        ]);
        let mut response = database.query(START, variables).await?;
        let node: Option<Node> = response.row(STARTED.0, Node::TABLE)?;
        let bell: Option<Bell> = response.row(STARTED.1, Bell::TABLE)?;
        match (node, bell) {
            (Some(node), Some(bell)) => Ok((Self::new(&node), bell)),
            _ => Err(StoreError::Schema(SchemaProblem::NodeTaken {
                node: number,
            })),
        }
    }

    fn new(node: &Node) -> Self {
        let epoch = i64::from(node.epoch) & ((1 << EPOCH_BITS) - 1);
        let base = (i64::from(node.node) << (EPOCH_BITS + COUNTER_BITS)) | (epoch << COUNTER_BITS);
        Self {
            node: node.node,
            base,
            rooms: AtomicI64::new(0),
        }
    }

    /// A room number that nobody else has.
    pub(crate) fn next_room_no(&self) -> Result<RoomNo, StoreError> {
        let counter = self.rooms.fetch_add(1, Ordering::Relaxed);
        if counter >= 1 << COUNTER_BITS {
            return Err(StoreError::Unavailable {
                reason: "out of room numbers".into(),
            });
        }
        Ok(RoomNo(self.base | counter))
    }
}

async fn next_free(database: &Database) -> Result<NodeNo, StoreError> {
    let mut response = database.query(TAKEN, Variables::new()).await?;
    let taken: Vec<NodeNo> = response.rows(0, Node::TABLE)?;
    let last = taken.into_iter().max().unwrap_or_default();
    last.checked_add(1)
        .ok_or(StoreError::Schema(SchemaProblem::NodeTaken { node: last }))
}
