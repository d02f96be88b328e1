//! Messages on their way to other servers.

use std::collections::BTreeSet;

use matryx_entity::{queued_edu::QueuedEdu, stored::Stored};
use ruma::OwnedServerName;
use surrealdb_types::Variables;

use crate::{error::StoreError, store::Store};

const SERVERS: &str = "SELECT VALUE server FROM queued_edu";

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
}
