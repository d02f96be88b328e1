//! Device lists.

use matryx_entity::{device_list::DeviceList, stored::Stored};
use ruma::OwnedUserId;
use surrealdb_types::Variables;

use crate::{error::StoreError, store::Store};

const STALE: &str = "SELECT VALUE user FROM device_list WHERE state = 'stale' AND stream_id > 0";

const LOCAL: &str = "SELECT * FROM device_list WHERE state = 'local'";

impl Store {
    /// The device lists of this server's users: one query, which reads the whole table.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn local_device_lists(&self) -> Result<Vec<DeviceList>, StoreError> {
        let mut found = self.database().query(LOCAL, Variables::new()).await?;
        found.rows(0, DeviceList::TABLE)
    }

    /// The users of other servers whose device lists were known once and are no longer: one query,
    /// which reads the whole table.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn stale_device_lists(&self) -> Result<Vec<OwnedUserId>, StoreError> {
        let mut found = self.database().query(STALE, Variables::new()).await?;
        found.rows(0, DeviceList::TABLE)
    }
}
