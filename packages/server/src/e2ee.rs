//! End-to-end encryption: the keys that devices and users publish, and who gets them.
//!
//! Invariants: a one-time key is given to one device and never again; a key is stored only if who
//! must have signed it has; every change of a user's devices or cross-signing keys is counted in
//! the user's list and logged in the same commit; what a user signed of others is shown to that
//! user alone. Changes of one user's keys in this process happen one after another
//! ([`Users::lock`]).

mod cache;
mod claim;
mod cross_signing;
mod error;
mod query;
pub mod remote;
mod shelf;
mod signatures;
mod stock;
mod upload;
mod user_keys;

use std::sync::Arc;

use matryx_client::sync::SyncEngine;
use matryx_entity::{device_list::DeviceList, log::LogEntry, signed_object::SignedObject};
use matryx_surrealdb::Store;
use ruma::{OwnedUserId, UserId};

use self::{cache::UserCache, query::OwnSignatures, remote::RemoteLists, shelf::Shelf};
pub use self::{
    claim::{ClaimedKeys, Claims, DevicesKeys},
    cross_signing::SigningKeys,
    error::E2eeError,
    query::FoundKeys,
    signatures::{SignatureFailure, SignatureFailures},
    upload::{KeyCounts, KeyUpload},
    user_keys::{KnownDevice, UserKeys},
};
use crate::user::Users;

/// How many bytes of what users signed of others are held.
const SIGNATURE_BYTES: u64 = 4 << 20;

/// How many bytes of keys that are being claimed are held.
const SHELF_BYTES: u64 = 4 << 20;

/// What the domain is built from.
pub struct E2eeDependencies {
    /// The database.
    pub store: Store,
    /// The caches, which follow the log.
    pub sync: SyncEngine,
    /// The accounts.
    pub users: Users,
    /// The keys of users of other servers.
    pub remote: RemoteLists,
    /// How many bytes of users' keys are held.
    pub cache_bytes: u64,
}

/// The keys of users. Cheap to clone.
#[derive(Clone)]
pub struct E2ee {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    users: Users,
    remote: RemoteLists,
    keys: UserCache<UserKeys>,
    signatures: UserCache<OwnSignatures>,
    shelves: UserCache<Shelf>,
}

impl Inner {
    /// Forgets what a change makes stale.
    fn follow(&self, entry: &LogEntry) {
        match entry {
            LogEntry::Device { user, .. } => {
                self.keys.forget(user);
                self.shelves.forget(user);
            }
            LogEntry::OneTimeKeys { user, .. } => self.shelves.forget(user),
            LogEntry::User { user } => {
                self.keys.forget(user);
                self.shelves.forget(user);
                self.signatures.forget(user);
            }
            LogEntry::Signed { user, .. } => self.signatures.forget(user),
            _ => {}
        }
    }
}

impl E2ee {
    /// The domain, which follows the log from now on.
    pub fn new(dependencies: E2eeDependencies) -> Self {
        let E2eeDependencies {
            store,
            sync,
            users,
            remote,
            cache_bytes,
        } = dependencies;
        let inner = Arc::new(Inner {
            store,
            users,
            remote,
            keys: UserCache::new("user_keys", cache_bytes),
            signatures: UserCache::new("key_signatures", SIGNATURE_BYTES),
            shelves: UserCache::new("one_time_keys", SHELF_BYTES),
        });
        let follower = Arc::downgrade(&inner);
        sync.on_entry(move |_, entry| {
            if let Some(inner) = follower.upgrade() {
                inner.follow(entry);
            }
        });
        Self { inner }
    }

    /// The keys of a user of this server, from memory or with five queries. None if there is no
    /// such account, or it is closed.
    ///
    /// # Errors
    /// The database is away.
    pub async fn of_local(&self, user: &UserId) -> Result<Option<Arc<UserKeys>>, E2eeError> {
        if let Some(keys) = self.inner.keys.get(user) {
            return Ok(Some(keys));
        }
        self.load(user, true).await
    }

    /// What is kept of a user of another server, four queries. None if nothing is. It may be out of
    /// date.
    async fn of_remote(&self, user: &UserId) -> Result<Option<Arc<UserKeys>>, E2eeError> {
        self.load(user, false).await
    }

    /// What is kept of users of other servers, from memory where their lists have not changed: one
    /// query, and four for each that has. What is kept of them changes also when nobody here has to
    /// hear of it, so the log does not say so.
    async fn of_remotes(
        &self,
        users: &[OwnedUserId],
    ) -> Result<Vec<(OwnedUserId, Arc<UserKeys>)>, E2eeError> {
        let keys: Vec<_> = users.iter().map(|user| DeviceList::key_of(user)).collect();
        let lists = self.inner.store.get_many::<DeviceList>(&keys).await?;
        let mut all = Vec::with_capacity(users.len());
        for list in lists.into_iter().flatten() {
            let held = self.inner.keys.get(&list.user);
            let keys = match held.filter(|keys| keys.is_of(&list)) {
                Some(keys) => Some(keys),
                None => self.of_remote(&list.user).await?,
            };
            all.extend(keys.map(|keys| (list.user, keys)));
        }
        Ok(all)
    }

    async fn load(&self, user: &UserId, local: bool) -> Result<Option<Arc<UserKeys>>, E2eeError> {
        let read_at = self.inner.keys.epoch();
        let keys = user_keys::load(&self.inner.store, user, local).await?;
        if let Some(keys) = &keys {
            self.inner.keys.insert(user, Arc::clone(keys), read_at);
        }
        Ok(keys)
    }
}

/// A key that was checked when it came.
fn stored_object(json: &str) -> Result<SignedObject, E2eeError> {
    SignedObject::parse(json).map_err(E2eeError::Damaged)
}
