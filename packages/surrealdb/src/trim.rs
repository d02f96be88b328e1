//! Keeps the log short: removes what is below the horizon.
//!
//! The horizon moves before the rows go, so that a crash in between leaves rows that nobody
//! misses, never a gap that nobody knows of.

use std::time::Duration;

use matryx_entity::{
    log::LogRow,
    node::Node,
    position::{NodeNo, Position},
    stored::Stored,
};
use metrics::gauge;
use surrealdb_types::{Number, RecordId, Value, Variables};
use tokio::time::sleep;

use crate::{database::variables, doorbell::read_bells, error::StoreError, store::Store};

/// How many entries one transaction removes.
const CHUNK: u64 = 1000;

const NODES: &str = "SELECT * FROM node";

const MOVE_HORIZON: &str = "UPDATE $node SET horizon = $horizon RETURN NONE";

impl Store {
    /// Removes all but the newest `keep` entries of every node's log; how many it removed.
    /// A thousand per transaction.
    ///
    /// # Errors
    /// The database is away.
    pub async fn trim_log(&self, keep: u64) -> Result<u64, StoreError> {
        let mut response = self.database().query(NODES, Variables::new()).await?;
        let nodes: Vec<Node> = response.rows(0, Node::TABLE)?;
        let bells = read_bells(self.database()).await?;
        let mut removed = 0;
        for node in nodes {
            let newest = bells
                .iter()
                .find(|bell| bell.node == node.node)
                .map_or(0, |bell| bell.seq);
            let end = (newest + 1).saturating_sub(keep);
            let mut horizon = node.horizon.max(1);
            while horizon < end {
                let next = end.min(horizon + CHUNK);
                self.trim_chunk(node.node, horizon, next).await?;
                removed += next - horizon;
                horizon = next;
            }
            if node.node == self.node() {
                let length = (newest + 1).saturating_sub(horizon);
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                gauge!("matryx_log_entries").set(length as f64);
            }
        }
        Ok(removed)
    }

    /// Trims the log to the configured length, now and once in every `interval`. Ends never.
    pub async fn keep_log_trimmed(&self, interval: Duration) {
        loop {
            if let Err(error) = self.trim_log(self.log_retention()).await {
                tracing::warn!(%error, "the log could not be trimmed");
            }
            sleep(interval).await;
        }
    }

    async fn trim_chunk(&self, node: NodeNo, from: u64, until: u64) -> Result<(), StoreError> {
        let horizon = i64::try_from(until).unwrap_or(i64::MAX);
        let variables = variables([
            (
                "node",
                Value::RecordId(RecordId::new(Node::TABLE, i64::from(node))),
            ),
            ("horizon", Value::Number(Number::Int(horizon))),
        ]);
        self.database().query(MOVE_HORIZON, variables).await?;
        let keys = (from..until).map(|seq| LogRow::key_of(Position { node, seq }));
        self.remove::<LogRow>(&keys.collect::<Vec<_>>()).await
    }
}
