//! The versions of a user's backup.

use matryx_entity::{key, key_backup_version::KeyBackupVersion};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{UserId, serde::JsonObject};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{KeyBackupError, KeyBackups};

/// The longest name of an algorithm, in bytes.
const MAX_ALGORITHM_BYTES: usize = 255;
/// The largest `auth_data`, in bytes: a public key and signatures.
const MAX_AUTH_DATA_BYTES: usize = 65_536;
/// How many versions a user may have at once; clients delete the old one when they make a new one.
const MAX_VERSIONS: usize = 100;

const NO_BACKUP: KeyBackupError = KeyBackupError::NotFound("There is no backup");
const NO_SUCH_VERSION: KeyBackupError = KeyBackupError::NotFound("There is no such backup version");

/// How the keys of a version are encrypted, as a client tells it.
#[derive(Debug, Deserialize)]
pub struct BackupMethod {
    algorithm: String,
    auth_data: Box<RawValue>,
    /// Clients repeat the version's number when they update it.
    version: Option<String>,
}

impl BackupMethod {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// A field is missing, of another type or too long.
    pub fn parse(body: &RawValue) -> Result<Self, KeyBackupError> {
        let method: Self = serde_json::from_str(body.get())?;
        serde_json::from_str::<JsonObject>(method.auth_data.get())?;
        if method.algorithm.len() > MAX_ALGORITHM_BYTES {
            return Err(KeyBackupError::InvalidParam("The algorithm is too long"));
        }
        if method.auth_data.get().len() > MAX_AUTH_DATA_BYTES {
            return Err(KeyBackupError::TooLarge("The auth_data is too large"));
        }
        Ok(method)
    }
}

/// All that a user's version rows say.
pub(super) struct Versions(Vec<KeyBackupVersion>);

impl Versions {
    /// The highest number that was ever given out.
    fn highest(&self) -> i64 {
        self.0.last().map_or(0, |row| row.version)
    }

    /// The newest version that there is.
    fn current(&self) -> Option<&KeyBackupVersion> {
        self.0.iter().rev().find(|row| !row.deleted)
    }

    /// A version by its number.
    fn get(&self, version: &str) -> Result<&KeyBackupVersion, KeyBackupError> {
        let number = number(version)?;
        self.0
            .iter()
            .find(|row| row.version == number && !row.deleted)
            .ok_or(NO_SUCH_VERSION)
    }
}

/// A version's number. Numbers have one spelling.
fn number(version: &str) -> Result<i64, KeyBackupError> {
    version
        .parse::<i64>()
        .ok()
        .filter(|number| *number > 0 && number.to_string() == version)
        .ok_or(NO_SUCH_VERSION)
}

impl KeyBackups {
    /// A user's versions: one query.
    async fn versions(&self, user: &UserId) -> Result<Versions, KeyBackupError> {
        let rows = KeyRange::prefix(&key![user.as_str()]);
        Ok(Versions(self.inner.store.range(rows).await?))
    }

    /// The newest version: one query.
    ///
    /// # Errors
    /// The user has no backup, or the database is away.
    pub async fn current(&self, user: &UserId) -> Result<KeyBackupVersion, KeyBackupError> {
        let versions = self.versions(user).await?;
        versions.current().cloned().ok_or(NO_BACKUP)
    }

    /// A version: one query.
    ///
    /// # Errors
    /// There is no such version, or the database is away.
    pub async fn version(
        &self,
        user: &UserId,
        version: &str,
    ) -> Result<KeyBackupVersion, KeyBackupError> {
        let key = KeyBackupVersion::key_of(user, number(version)?);
        let row = self.inner.store.get::<KeyBackupVersion>(&key).await?;
        row.filter(|row| !row.deleted).ok_or(NO_SUCH_VERSION)
    }

    /// The version to which keys can be added, which must be the newest: one query.
    pub(super) async fn newest(
        &self,
        user: &UserId,
        version: &str,
    ) -> Result<KeyBackupVersion, KeyBackupError> {
        let versions = self.versions(user).await?;
        let named = versions.get(version)?;
        match versions.current() {
            Some(current) if current.version != named.version => {
                Err(KeyBackupError::WrongVersion {
                    current: current.version,
                })
            }
            _ => Ok(named.clone()),
        }
    }

    /// Begins a new version and returns its number: one query and one commit.
    ///
    /// # Errors
    /// There are too many versions, or the database is away.
    pub async fn create(&self, user: &UserId, method: BackupMethod) -> Result<i64, KeyBackupError> {
        let (this, user) = (self.clone(), user.to_owned());
        self.carry_through(async move {
            let _guard = this.inner.locks.lock(&user).await;
            let versions = this.versions(&user).await?;
            let (marks, kept): (Vec<_>, Vec<_>) = versions.0.iter().partition(|row| row.deleted);
            if kept.len() >= MAX_VERSIONS {
                return Err(KeyBackupError::TooLarge("There are too many backups"));
            }
            for mark in &marks {
                this.sweep((*mark).clone()).await?;
            }
            let created = KeyBackupVersion {
                user,
                version: versions.highest() + 1,
                algorithm: method.algorithm,
                auth_data: String::from(Box::<str>::from(method.auth_data)),
                etag: 0,
                count: 0,
                bytes: 0,
                deleted: false,
            };
            let mut plan = Plan::new();
            plan.create(&created);
            for mark in marks {
                let key = KeyBackupVersion::key_of(&mark.user, mark.version);
                plan.delete::<KeyBackupVersion>(&key);
            }
            this.inner.store.commit(plan).await?;
            Ok(created.version)
        })
        .await
    }

    /// Replaces a version's `auth_data`: one query and one commit.
    ///
    /// # Errors
    /// There is no such version, it has another algorithm or number, or the database is away.
    pub async fn update(
        &self,
        user: &UserId,
        version: &str,
        method: BackupMethod,
    ) -> Result<(), KeyBackupError> {
        let (this, user, version) = (self.clone(), user.to_owned(), version.to_owned());
        self.carry_through(async move {
            let _guard = this.inner.locks.lock(&user).await;
            let mut row = this.version(&user, &version).await?;
            if method.version.is_some_and(|repeated| repeated != version) {
                return Err(KeyBackupError::InvalidParam(
                    "The version in the body is not the one in the path",
                ));
            }
            if method.algorithm != row.algorithm {
                return Err(KeyBackupError::InvalidParam(
                    "The algorithm of a backup version cannot change",
                ));
            }
            row.auth_data = String::from(Box::<str>::from(method.auth_data));
            let mut plan = Plan::new();
            plan.put(&row);
            this.inner.store.commit(plan).await?;
            Ok(())
        })
        .await
    }

    /// Deletes a version with its keys. It is gone with the first commit; its keys go by and by.
    /// To delete it again succeeds, and removes what an interrupted request left.
    ///
    /// # Errors
    /// There never was such a version, or the database is away.
    pub async fn delete(&self, user: &UserId, version: &str) -> Result<(), KeyBackupError> {
        let number = number(version)?;
        let (this, user) = (self.clone(), user.to_owned());
        self.carry_through(async move {
            let _guard = this.inner.locks.lock(&user).await;
            let versions = this.versions(&user).await?;
            if number > versions.highest() {
                return Err(NO_SUCH_VERSION);
            }
            let Some(row) = versions.0.iter().find(|row| row.version == number) else {
                return Ok(());
            };
            let mut row = row.clone();
            if !row.deleted {
                row.deleted = true;
                row.auth_data = String::new();
                let mut plan = Plan::new();
                plan.put(&row);
                this.inner.store.commit(plan).await?;
            }
            this.sweep(row).await
        })
        .await
    }

    /// Removes all versions of a user, whose account is closed.
    ///
    /// # Errors
    /// The database is away.
    pub async fn erase(&self, user: &UserId) -> Result<(), KeyBackupError> {
        for row in self.versions(user).await?.0 {
            self.delete(user, &row.version.to_string()).await?;
        }
        Ok(())
    }
}
