//! Adding keys to a version.

use std::collections::BTreeMap;

use matryx_entity::{
    backed_up_key::BackedUpKey,
    key_backup_version::KeyBackupVersion,
    stored::{Key, Stored},
};
use matryx_surrealdb::Plan;
use ruma::{OwnedRoomId, OwnedUserId, UInt, UserId, serde::JsonObject};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BackupState, KEYS_PER_COMMIT, KeyBackupError, KeyBackups};

/// How many keys one request may bring. Clients send one to two hundred.
pub const MAX_UPLOADED_KEYS: usize = 10_000;
/// How many keys a version may hold.
const MAX_KEYS: i64 = 200_000;
/// How large a version's keys may be together, in bytes: who asks for all of them gets them in
/// one answer.
const MAX_BYTES: i64 = 128 * 1024 * 1024;
/// The largest `session_data`, in bytes; clients write less than one KiB.
const MAX_SESSION_DATA_BYTES: usize = 16 * 1024;
/// The longest session id, in bytes; Megolm's have 43.
const MAX_SESSION_ID_BYTES: usize = 255;

/// The key of one session as a client uploads it.
#[derive(Debug)]
pub struct UploadedKey {
    room_id: OwnedRoomId,
    session_id: String,
    content: Content,
}

#[derive(Debug, Deserialize)]
struct Content {
    first_message_index: UInt,
    forwarded_count: UInt,
    is_verified: bool,
    session_data: Box<RawValue>,
}

impl UploadedKey {
    /// Reads a key from a request.
    ///
    /// # Errors
    /// A field is missing, of another type or too long.
    pub fn parse(
        room_id: OwnedRoomId,
        session_id: String,
        content: &RawValue,
    ) -> Result<Self, KeyBackupError> {
        let content: Content = serde_json::from_str(content.get())?;
        serde_json::from_str::<JsonObject>(content.session_data.get())?;
        if content.session_data.get().len() > MAX_SESSION_DATA_BYTES {
            return Err(KeyBackupError::TooLarge("The session_data is too large"));
        }
        if session_id.is_empty() || session_id.len() > MAX_SESSION_ID_BYTES {
            return Err(KeyBackupError::InvalidParam(
                "The session id is too long or empty",
            ));
        }
        if session_id.chars().any(char::is_control) {
            return Err(KeyBackupError::InvalidParam(
                "The session id contains control characters",
            ));
        }
        Ok(Self {
            room_id,
            session_id,
            content,
        })
    }

    fn into_record(self, user: OwnedUserId, version: i64) -> BackedUpKey {
        BackedUpKey {
            user,
            version,
            room_id: self.room_id,
            session_id: self.session_id,
            first_message_index: self.content.first_message_index.into(),
            forwarded_count: self.content.forwarded_count.into(),
            is_verified: self.content.is_verified,
            session_data: String::from(Box::<str>::from(self.content.session_data)),
        }
    }
}

impl KeyBackups {
    /// Adds keys to the newest version. Of two keys of one session, the better one stays. Two
    /// queries and one commit for every few hundred keys.
    ///
    /// # Errors
    /// The version is not the newest one, there are too many keys, or the database is away.
    pub async fn upload(
        &self,
        user: &UserId,
        version: &str,
        keys: Vec<UploadedKey>,
    ) -> Result<BackupState, KeyBackupError> {
        if keys.len() > MAX_UPLOADED_KEYS {
            return Err(KeyBackupError::TooLarge("Too many keys at once"));
        }
        let (this, user, version) = (self.clone(), user.to_owned(), version.to_owned());
        self.carry_through(async move {
            let _guard = this.inner.locks.lock(&user).await;
            let mut row = this.newest(&user, &version).await?;
            let keys: BTreeMap<Key, BackedUpKey> = keys
                .into_iter()
                .map(|key| key.into_record(user.clone(), row.version))
                .map(|key| (key.key(), key))
                .collect();
            let mut keys = keys.into_iter();
            loop {
                let (ids, batch): (Vec<_>, Vec<_>) = keys.by_ref().take(KEYS_PER_COMMIT).unzip();
                if ids.is_empty() {
                    break;
                }
                let known = this.inner.store.get_many::<BackedUpKey>(&ids).await?;
                let mut plan = Plan::new();
                for (key, known) in batch.iter().zip(&known) {
                    add(&mut plan, &mut row, key, known.as_ref())?;
                }
                if !plan.is_empty() {
                    row.etag += 1;
                    plan.put(&row);
                    this.inner.store.commit(plan).await?;
                }
            }
            Ok(BackupState {
                etag: row.etag,
                count: row.count,
            })
        })
        .await
    }
}

/// Adds a key to the plan and counts it, if it is better than the one that is known.
fn add(
    plan: &mut Plan,
    row: &mut KeyBackupVersion,
    key: &BackedUpKey,
    known: Option<&BackedUpKey>,
) -> Result<(), KeyBackupError> {
    if known.is_some_and(|known| !key.is_better_than(known)) {
        return Ok(());
    }
    row.count += i64::from(known.is_none());
    row.bytes += key.size() - known.map_or(0, BackedUpKey::size);
    if row.count > MAX_KEYS || row.bytes > MAX_BYTES {
        return Err(KeyBackupError::TooLarge("The backup is full"));
    }
    plan.put(key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(count: i64, bytes: i64) -> KeyBackupVersion {
        KeyBackupVersion {
            user: ruma::user_id!("@alice:a.example").to_owned(),
            version: 1,
            algorithm: "a".to_owned(),
            auth_data: "{}".to_owned(),
            etag: 0,
            count,
            bytes,
            deleted: false,
        }
    }

    fn backed_up(first_message_index: u64, session_data: &str) -> BackedUpKey {
        BackedUpKey {
            user: ruma::user_id!("@alice:a.example").to_owned(),
            version: 1,
            room_id: ruma::room_id!("!room:a.example").to_owned(),
            session_id: "session".to_owned(),
            first_message_index,
            forwarded_count: 0,
            is_verified: true,
            session_data: session_data.to_owned(),
        }
    }

    #[test]
    fn a_full_backup_takes_better_keys_and_no_further_ones() {
        let (known, better) = (backed_up(1, "{}"), backed_up(0, "{}"));
        let mut full = version(MAX_KEYS, 1_000);
        let refused = add(&mut Plan::new(), &mut full, &better, None);
        assert!(matches!(refused, Err(KeyBackupError::TooLarge(_))));
        let mut full = version(MAX_KEYS, 1_000);
        let mut plan = Plan::new();
        add(&mut plan, &mut full, &better, Some(&known)).unwrap();
        assert!(!plan.is_empty());
        assert_eq!((full.count, full.bytes), (MAX_KEYS, 1_000));
    }

    #[test]
    fn a_backup_is_bounded_in_bytes_as_well() {
        let (known, larger) = (backed_up(1, "{}"), backed_up(0, r#"{"a":1}"#));
        let room = larger.size() - known.size();
        let mut row = version(1, MAX_BYTES - room);
        add(&mut Plan::new(), &mut row, &larger, Some(&known)).unwrap();
        assert_eq!((row.count, row.bytes), (1, MAX_BYTES));
        let mut row = version(1, MAX_BYTES - room + 1);
        let refused = add(&mut Plan::new(), &mut row, &larger, Some(&known));
        assert!(matches!(refused, Err(KeyBackupError::TooLarge(_))));
    }
}
