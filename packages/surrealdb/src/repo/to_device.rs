//! Messages that wait for devices.

use surrealdb_types::Variables;

use crate::{error::StoreError, store::Store};

const REMOVE_ORPHANS: &str = "
    DELETE to_device
    WHERE !record::exists(type::record('device', [user, device_id]))
    RETURN NONE
";

impl Store {
    /// Removes the messages for devices that are gone: goes through all that wait.
    ///
    /// # Errors
    /// The database is away.
    pub async fn remove_orphaned_messages(&self) -> Result<(), StoreError> {
        let removed = self.database().query(REMOVE_ORPHANS, Variables::new());
        removed.await.map(drop)
    }
}
