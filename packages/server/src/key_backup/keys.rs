//! Reading and removing the keys of a version.

use matryx_entity::{
    backed_up_key::BackedUpKey, key, key_backup_version::KeyBackupVersion, stored::Stored,
};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{RoomId, UserId};

use super::{BackupState, KEYS_PER_COMMIT, KeyBackupError, KeyBackups};

/// Which keys of a version.
#[derive(Clone, Copy, Debug)]
pub enum KeyScope<'a> {
    /// All.
    All,
    /// Those of a room.
    Room(&'a RoomId),
    /// That of a session.
    Session(&'a RoomId, &'a str),
}

impl KeyScope<'_> {
    fn range(self, row: &KeyBackupVersion) -> KeyRange {
        let (user, version) = (row.user.as_str(), row.version);
        match self {
            Self::All => KeyRange::prefix(&key![user, version]),
            Self::Room(room_id) => KeyRange::prefix(&key![user, version, room_id.as_str()]),
            Self::Session(room_id, session_id) => {
                let key = key![user, version, room_id.as_str(), session_id];
                KeyRange::inclusive(&key, &key)
            }
        }
    }
}

impl KeyBackups {
    /// Keys of a version, by room and session: two queries. What they are together is bounded with
    /// the version.
    ///
    /// # Errors
    /// There is no such version, no such session in it, or the database is away.
    pub async fn keys(
        &self,
        user: &UserId,
        version: &str,
        scope: KeyScope<'_>,
    ) -> Result<Vec<BackedUpKey>, KeyBackupError> {
        let row = self.version(user, version).await?;
        Ok(self.inner.store.range(scope.range(&row)).await?)
    }

    /// Removes keys of a version: two queries, and as many commits as it takes.
    ///
    /// # Errors
    /// There is no such version, or the database is away.
    pub async fn delete_keys(
        &self,
        user: &UserId,
        version: &str,
        scope: KeyScope<'_>,
    ) -> Result<BackupState, KeyBackupError> {
        let row = self.version(user, version).await?;
        let range = scope.range(&row);
        let (this, user, version) = (self.clone(), row.user, version.to_owned());
        self.carry_through(async move {
            let _guard = this.inner.locks.lock(&user).await;
            let row = this.version(&user, &version).await?;
            let row = this.remove(row, range).await?;
            Ok(BackupState {
                etag: row.etag,
                count: row.count,
            })
        })
        .await
    }

    /// Removes what is left of a deleted version's keys. The caller holds the user's lock.
    pub(super) async fn sweep(&self, row: KeyBackupVersion) -> Result<(), KeyBackupError> {
        if row.count > 0 {
            let all = KeyScope::All.range(&row);
            self.remove(row, all).await?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        mut row: KeyBackupVersion,
        range: KeyRange,
    ) -> Result<KeyBackupVersion, KeyBackupError> {
        let keys: Vec<BackedUpKey> = self.inner.store.range(range).await?;
        for keys in keys.chunks(KEYS_PER_COMMIT) {
            let mut plan = Plan::new();
            for key in keys {
                plan.delete::<BackedUpKey>(&key.key());
                row.count -= 1;
                row.bytes -= key.size();
            }
            row.etag += 1;
            plan.put(&row);
            self.inner.store.commit(plan).await?;
        }
        Ok(row)
    }
}
