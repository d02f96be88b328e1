//! Giving out one-time keys.
//!
//! A key is removed, then issued by a commit that creates its [`IssuedKey`]: whoever loses that
//! race, also against another process, has got nothing and takes the next key. The answer follows
//! the commit, so a crash in between loses a key and never gives it twice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use matryx_entity::{
    fallback_key::FallbackKey, issued_key::IssuedKey, key, log::LogEntry, one_time_key::OneTimeKey,
    stored::Stored, token_hash::TokenHash,
};
use matryx_surrealdb::{KeyRange, Plan, StoreError};
use ruma::{
    OneTimeKeyAlgorithm, OwnedDeviceId, OwnedOneTimeKeyId, OwnedServerName, OwnedUserId, UserId,
    encryption::OneTimeKey as AnyKey, serde::Raw,
};

use super::{E2ee, E2eeError, remote::RemoteFailure, shelf::Shelf};

/// The most users whose keys one request claims.
const MAX_USERS: usize = 2_000;
/// Of how many users keys are issued at once.
const AT_ONCE: usize = 16;
/// How often a claim is tried again against other processes that issue the same keys.
const MAX_TRIES: usize = 9;

/// Of which devices of which users a key is wanted.
pub type Claims = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>>;

/// The keys of a user's devices.
pub type DevicesKeys = BTreeMap<OwnedDeviceId, BTreeMap<OwnedOneTimeKeyId, Raw<AnyKey>>>;

/// What was claimed.
#[derive(Debug, Default)]
pub struct ClaimedKeys {
    /// The keys. Who has none is not among them.
    pub one_time_keys: BTreeMap<OwnedUserId, DevicesKeys>,
    /// Servers that could not be asked, and why.
    pub failures: BTreeMap<OwnedServerName, RemoteFailure>,
}

/// A key on its way out.
struct Issued {
    device_id: OwnedDeviceId,
    algorithm: String,
    key_id: String,
    json: String,
}

impl E2ee {
    /// Claims keys of users of any server. Other servers have as long as `timeout`.
    ///
    /// # Errors
    /// There are too many, or the database is away.
    pub async fn claim(
        &self,
        mut claims: Claims,
        timeout: Duration,
    ) -> Result<ClaimedKeys, E2eeError> {
        check_size(&claims)?;
        let here = claims.keys().filter(|user| self.inner.users.is_local(user));
        let here: Vec<OwnedUserId> = here.cloned().collect();
        let here = here
            .into_iter()
            .filter_map(|user| claims.remove_entry(&user));
        let here: Claims = here.collect();
        let remote = self.inner.remote.claim(claims, timeout);
        let (here, elsewhere) = tokio::join!(self.issue_all(here), remote);
        let mut one_time_keys = here?;
        one_time_keys.extend(elsewhere.keys);
        Ok(ClaimedKeys {
            one_time_keys,
            failures: elsewhere.failures,
        })
    }

    /// Claims keys of users of this server, for another.
    ///
    /// # Errors
    /// A user is of another server, there are too many, or the database is away.
    pub async fn claim_here(
        &self,
        claims: Claims,
    ) -> Result<BTreeMap<OwnedUserId, DevicesKeys>, E2eeError> {
        check_size(&claims)?;
        if claims.keys().any(|user| !self.inner.users.is_local(user)) {
            return Err(E2eeError::Elsewhere);
        }
        self.issue_all(claims).await
    }

    async fn issue_all(
        &self,
        claims: Claims,
    ) -> Result<BTreeMap<OwnedUserId, DevicesKeys>, E2eeError> {
        let issue = |(user, devices): (OwnedUserId, BTreeMap<_, _>)| async move {
            let keys = self.issue(&user, &devices).await?;
            Ok::<_, E2eeError>((user, keys))
        };
        let keys = stream::iter(claims).map(issue).buffer_unordered(AT_ONCE);
        let keys = keys.try_filter(|(_, keys)| std::future::ready(!keys.is_empty()));
        keys.try_collect().await
    }

    /// Issues a key of each of these devices of a user: one commit, unless all that they have left
    /// are fallback keys that were used before, and two queries, unless keys of theirs were claimed
    /// a moment ago.
    async fn issue(
        &self,
        user: &UserId,
        devices: &BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>,
    ) -> Result<DevicesKeys, E2eeError> {
        let _guard = self.inner.users.lock(user).await;
        for lost in 0..MAX_TRIES {
            // Who was not quick enough twice leaves the oldest keys to the process that was.
            let left = 3 * lost.saturating_sub(1);
            match self.try_issue(user, devices, left).await {
                Err(E2eeError::Store(StoreError::Exists { table, .. }))
                    if table == IssuedKey::TABLE =>
                {
                    self.inner.shelves.forget(user);
                }
                outcome => return outcome,
            }
        }
        self.try_issue(user, devices, 3 * MAX_TRIES).await
    }

    async fn try_issue(
        &self,
        user: &UserId,
        devices: &BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>,
        left: usize,
    ) -> Result<DevicesKeys, E2eeError> {
        let shelves = &self.inner.shelves;
        let read_at = shelves.epoch();
        let held = shelves.get(user).filter(|shelf| shelf.has_all(devices));
        let (stock, fallback) = match held {
            Some(held) => (held, Vec::new()),
            None => self.read_keys(user, devices).await?,
        };
        let mut plan = Plan::new();
        let mut issued = Vec::new();
        let mut gone = Vec::new();
        for (device, algorithm) in devices {
            if let Some(oldest) = stock.oldest(device, algorithm, left) {
                plan_issue(&mut plan, oldest);
                gone.push(oldest.key());
                issued.push(Issued::from(oldest.clone()));
                continue;
            }
            let algorithm = algorithm.as_str();
            let is_it = |key: &&FallbackKey| key.device_id == *device && key.algorithm == algorithm;
            if let Some(key) = fallback.iter().find(is_it) {
                plan_use(&mut plan, key);
                issued.push(Issued::from(key.clone()));
            }
        }
        if !plan.is_empty() {
            let entries = plan.entries();
            // Not by the plan, for which all others would wait.
            self.inner.store.remove::<OneTimeKey>(&gone).await?;
            self.inner.store.commit(plan).await?;
            let rest = Arc::new(stock.without(&gone));
            shelves.renew(user, rest, read_at, entries);
        }
        issued
            .into_iter()
            .try_fold(DevicesKeys::new(), |mut all, key| {
                let id = format!("{}:{}", key.algorithm, key.key_id);
                let id = OwnedOneTimeKeyId::try_from(id);
                let id = id.map_err(E2eeError::KeyId)?;
                let json = Raw::from_json_string(key.json).map_err(E2eeError::Json)?;
                all.entry(key.device_id).or_default().insert(id, json);
                Ok(all)
            })
    }
}

impl E2ee {
    /// All keys of these devices: two queries.
    async fn read_keys(
        &self,
        user: &UserId,
        devices: &BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>,
    ) -> Result<(Arc<Shelf>, Vec<FallbackKey>), E2eeError> {
        let prefix = match devices.iter().next() {
            Some((device, _)) if devices.len() == 1 => key![user.as_str(), device.as_str()],
            _ => key![user.as_str()],
        };
        let range = KeyRange::prefix(&prefix);
        let store = &self.inner.store;
        let one_time = store.range::<OneTimeKey>(range.clone()).await?;
        let fallback = store.range::<FallbackKey>(range).await?;
        Ok((Arc::new(Shelf::new(one_time)), fallback))
    }
}

impl From<OneTimeKey> for Issued {
    fn from(key: OneTimeKey) -> Self {
        Self {
            device_id: key.device_id,
            algorithm: key.algorithm,
            key_id: key.key_id,
            json: key.json,
        }
    }
}

impl From<FallbackKey> for Issued {
    fn from(key: FallbackKey) -> Self {
        Self {
            device_id: key.device_id,
            algorithm: key.algorithm,
            key_id: key.key_id,
            json: key.json,
        }
    }
}

fn check_size(claims: &Claims) -> Result<(), E2eeError> {
    if claims.len() > MAX_USERS {
        return Err(E2eeError::TooLarge(
            "Keys of too many users are claimed at once",
        ));
    }
    Ok(())
}

/// A one-time key is marked as issued for ever.
fn plan_issue(plan: &mut Plan, key: &OneTimeKey) {
    plan.create(&IssuedKey {
        user: key.user.clone(),
        device_id: key.device_id.clone(),
        algorithm: key.algorithm.clone(),
        key_id: key.key_id.clone(),
        no: key.no,
        hash: TokenHash::of(&key.json),
    });
    plan.log(LogEntry::OneTimeKeys {
        user: key.user.clone(),
        device: key.device_id.clone(),
    });
}

/// A fallback key stays and is marked, so that its device replaces it.
fn plan_use(plan: &mut Plan, key: &FallbackKey) {
    if !key.used {
        let used = true;
        plan.put(&FallbackKey {
            used,
            ..key.clone()
        });
        plan.log(LogEntry::OneTimeKeys {
            user: key.user.clone(),
            device: key.device_id.clone(),
        });
    }
}
