//! Device lists.

use matryx_entity::{device_list::DeviceList, stored::Stored};
use ruma::OwnedUserId;
use surrealdb_types::Variables;

use crate::{error::StoreError, store::Store};

const STALE: &str = "SELECT VALUE user FROM device_list WHERE state = 'stale' AND stream_id > 0";

impl Store {
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
