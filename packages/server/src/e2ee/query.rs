//! Telling the keys of users.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use matryx_entity::{key, key_signature::KeySignature, signed_object::SignedObject};
use matryx_surrealdb::KeyRange;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedServerName, OwnedUserId, UserId,
    encryption::{CrossSigningKey, DeviceKeys},
    serde::Raw,
};

use super::{
    E2ee, E2eeError, UserKeys,
    cache::Weigh,
    remote::{RemoteFailure, Wanted},
};

/// The most users whose keys one request asks for.
const MAX_USERS: usize = 10_000;

/// The keys that were found. Who is unknown is not among them.
#[derive(Debug, Default)]
pub struct FoundKeys {
    /// The keys of devices.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Raw<DeviceKeys>>>,
    /// The users' master keys.
    pub master_keys: BTreeMap<OwnedUserId, Raw<CrossSigningKey>>,
    /// The users' self-signing keys.
    pub self_signing_keys: BTreeMap<OwnedUserId, Raw<CrossSigningKey>>,
    /// The user-signing key of who asks.
    pub user_signing_keys: BTreeMap<OwnedUserId, Raw<CrossSigningKey>>,
    /// Servers that could not be asked, and why.
    pub failures: BTreeMap<OwnedServerName, RemoteFailure>,
}

impl FoundKeys {
    /// Adds what was found of other users.
    fn extend(&mut self, other: Self) {
        self.device_keys.extend(other.device_keys);
        self.master_keys.extend(other.master_keys);
        self.self_signing_keys.extend(other.self_signing_keys);
        self.user_signing_keys.extend(other.user_signing_keys);
        self.failures.extend(other.failures);
    }

    /// Adds what everybody may know of a user.
    pub fn add(&mut self, user: &UserId, keys: &UserKeys, wanted: &[OwnedDeviceId], names: bool) {
        let wanted: HashSet<&DeviceId> = wanted.iter().map(|id| &**id).collect();
        let devices = keys.devices.iter();
        let devices = devices
            .filter(|device| wanted.is_empty() || wanted.contains(&*device.device_id))
            .map(|device| (device.device_id.clone(), device.told(names).clone()));
        self.device_keys.insert(user.to_owned(), devices.collect());
        if let Some(key) = &keys.master {
            self.master_keys.insert(user.to_owned(), key.clone());
        }
        if let Some(key) = &keys.self_signing {
            self.self_signing_keys.insert(user.to_owned(), key.clone());
        }
    }
}

/// What a user signed of others, by whose key it is.
#[derive(Debug, Default)]
pub(super) struct OwnSignatures(BTreeMap<OwnedUserId, Vec<KeySignature>>);

impl Weigh for OwnSignatures {
    fn bytes(&self) -> usize {
        let all = self.0.values().flatten();
        let texts = all.map(|signed| signed.signatures.len() + signed.key_id.len() + 256);
        texts.sum()
    }
}

impl E2ee {
    /// The keys of users of any server, as the requester sees them. Other servers have as long as
    /// `timeout`. Users of this server are told from memory.
    ///
    /// # Errors
    /// Too many are asked for, or the database is away.
    pub async fn query(
        &self,
        requester: &UserId,
        mut wanted: Wanted,
        timeout: Duration,
    ) -> Result<FoundKeys, E2eeError> {
        check_size(&wanted)?;
        let here = wanted.keys().filter(|user| self.inner.users.is_local(user));
        let here: BTreeSet<OwnedUserId> = here.cloned().collect();
        let here = here
            .into_iter()
            .filter_map(|user| wanted.remove_entry(&user));
        let here: Wanted = here.collect();
        let (found, elsewhere) = tokio::join!(
            self.find(here, true),
            self.query_elsewhere(requester, wanted, timeout)
        );
        let mut found = found?;
        found.extend(elsewhere?);
        if found.device_keys.contains_key(requester)
            && let Some(own) = self.of_local(requester).await?
            && let Some(key) = &own.user_signing
        {
            found
                .user_signing_keys
                .insert(requester.to_owned(), key.clone());
        }
        self.add_own_signatures(requester, &mut found).await?;
        Ok(found)
    }

    /// The keys of users of this server, for another.
    ///
    /// # Errors
    /// A user is of another server, too many are asked for, or the database is away.
    pub async fn query_here(&self, wanted: Wanted, names: bool) -> Result<FoundKeys, E2eeError> {
        check_size(&wanted)?;
        if wanted.keys().any(|user| !self.inner.users.is_local(user)) {
            return Err(E2eeError::Elsewhere);
        }
        self.find(wanted, names).await
    }

    /// The list of a user of this server, for another.
    ///
    /// # Errors
    /// This server has no such user, or the database is away.
    pub async fn list_here(&self, user: &UserId) -> Result<Arc<UserKeys>, E2eeError> {
        if !self.inner.users.is_local(user) {
            return Err(E2eeError::NoSuchUser);
        }
        self.of_local(user).await?.ok_or(E2eeError::NoSuchUser)
    }

    async fn query_elsewhere(
        &self,
        requester: &UserId,
        wanted: Wanted,
        timeout: Duration,
    ) -> Result<FoundKeys, E2eeError> {
        if wanted.is_empty() {
            return Ok(FoundKeys::default());
        }
        let remote = &self.inner.remote;
        let elsewhere = remote.query(requester, wanted.clone(), timeout).await?;
        let mut found = FoundKeys::default();
        for (user, keys) in self.of_remotes(&elsewhere.kept).await? {
            let devices = wanted.get(&user).map_or(&[][..], Vec::as_slice);
            found.add(&user, &keys, devices, true);
        }
        for (user, told) in elsewhere.told {
            let keys = UserKeys::told(told).map_err(E2eeError::Json)?;
            found.add(&user, &keys, &[], true);
        }
        found.failures = elsewhere.failures;
        Ok(found)
    }

    async fn find(&self, wanted: Wanted, names: bool) -> Result<FoundKeys, E2eeError> {
        let mut found = FoundKeys::default();
        for (user, devices) in wanted {
            if let Some(keys) = self.of_local(&user).await? {
                found.add(&user, &keys, &devices, names);
            }
        }
        Ok(found)
    }

    /// Adds what the requester signed, which nobody else is shown.
    async fn add_own_signatures(
        &self,
        requester: &UserId,
        found: &mut FoundKeys,
    ) -> Result<(), E2eeError> {
        if found.master_keys.is_empty() {
            return Ok(());
        }
        let own = self.own_signatures(requester).await?;
        if own.0.is_empty() {
            return Ok(());
        }
        for (user, key) in &mut found.master_keys {
            let Some(signed) = own.0.get(user) else {
                continue;
            };
            // Of another server's user it may be anything.
            let Ok(mut master) = SignedObject::parse(key.json().get()) else {
                continue;
            };
            let Some(public) = master.cross_signing_key() else {
                continue;
            };
            for signed in signed
                .iter()
                .filter(|signed| signed.key_id == public.name())
            {
                let by_key: BTreeMap<String, String> =
                    serde_json::from_str(&signed.signatures).map_err(E2eeError::Json)?;
                for (key_id, signature) in by_key {
                    master.add_signature(requester, key_id, signature);
                }
            }
            *key = Raw::from_json_string(master.to_text()).map_err(E2eeError::Json)?;
        }
        Ok(())
    }

    /// What a user signed of others, from memory or with one query.
    async fn own_signatures(&self, user: &UserId) -> Result<Arc<OwnSignatures>, E2eeError> {
        let cache = &self.inner.signatures;
        if let Some(known) = cache.get(user) {
            return Ok(known);
        }
        let read_at = cache.epoch();
        let range = KeyRange::prefix(&key![user.as_str()]);
        let mut own = OwnSignatures::default();
        for signed in self.inner.store.range::<KeySignature>(range).await? {
            own.0.entry(signed.target.clone()).or_default().push(signed);
        }
        let own = Arc::new(own);
        cache.insert(user, Arc::clone(&own), read_at);
        Ok(own)
    }
}

fn check_size(wanted: &Wanted) -> Result<(), E2eeError> {
    if wanted.len() > MAX_USERS {
        return Err(E2eeError::TooLarge(
            "Keys of too many users are asked for at once",
        ));
    }
    Ok(())
}
