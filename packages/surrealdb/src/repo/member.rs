//! Memberships by user.

use matryx_entity::{key, member::Member, room_no::RoomNo};
use ruma::UserId;

use crate::{error::StoreError, range::KeyRange, store::Store};

impl Store {
    /// All membership records of a user, by room number: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn memberships(&self, user: &UserId) -> Result<Vec<Member>, StoreError> {
        self.range(KeyRange::prefix(&key![user.as_str()])).await
    }

    /// One membership record: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn member(&self, user: &UserId, room: RoomNo) -> Result<Option<Member>, StoreError> {
        self.get(&key![user.as_str(), room]).await
    }
}
