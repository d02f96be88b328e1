//! Messages on their way to other servers.

use std::collections::BTreeSet;

use matryx_entity::{
    queued_edu::{QueuedAt, QueuedEdu},
    stored::Stored,
};
use ruma::{OwnedServerName, ServerName};
use surrealdb_types::{Value, Variables};

use crate::{database::variables, error::StoreError, range::KeyRange, store::Store};

const SERVERS: &str = "SELECT VALUE server FROM queued_edu";

const QUEUED: &str = "SELECT at, queued_ts FROM $range";

impl Store {
    /// The servers for which messages wait: one query over all of them.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn servers_of_queued_edus(&self) -> Result<Vec<OwnedServerName>, StoreError> {
        let found = self.database().query(SERVERS, Variables::new()).await;
        let servers: Vec<OwnedServerName> = found?.rows(0, QueuedEdu::TABLE)?;
        let servers: BTreeSet<_> = servers.into_iter().collect();
        Ok(servers.into_iter().collect())
    }

    /// When the messages were queued that wait for a server: one query, which reads all of them.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn queued_edus(&self, server: &ServerName) -> Result<Vec<QueuedAt>, StoreError> {
        let range = KeyRange::prefix(&QueuedEdu::prefix(server));
        let range = Value::RecordId(range.record_id(QueuedEdu::TABLE));
        let found = self.database();
        let found = found.query(QUEUED, variables([("range", range)])).await;
        found?.rows(0, QueuedEdu::TABLE)
    }
}
