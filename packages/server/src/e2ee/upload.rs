//! Taking in what a device publishes: its identity keys, one-time keys and fallback keys.

use std::collections::BTreeMap;

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device::Device,
    device_keys::DeviceKeys,
    log::LogEntry,
    signed_object::SignedObject,
};
use matryx_surrealdb::Plan;
use ruma::{
    DeviceId, OneTimeKeyAlgorithm, OwnedOneTimeKeyId, UInt, UserId,
    encryption::{self, OneTimeKey},
    serde::Raw,
};

use super::{
    E2ee, E2eeError,
    stock::{Stock, check_all},
    stored_object,
};
use crate::{
    caller::Requester,
    user::{ListChange, UserError},
};

/// The most bytes of a device's identity keys with their signatures.
const MAX_DEVICE_KEYS_BYTES: usize = 32 << 10;

/// How many one-time keys a device has left, by algorithm.
pub type KeyCounts = BTreeMap<OneTimeKeyAlgorithm, UInt>;

/// What a device publishes.
#[derive(Clone, Debug, Default)]
pub struct KeyUpload {
    /// Its identity keys.
    pub device_keys: Option<Raw<encryption::DeviceKeys>>,
    /// More one-time keys.
    pub one_time_keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
    /// New fallback keys.
    pub fallback_keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
}

impl E2ee {
    /// Takes in what the caller's device publishes: six queries and one commit, if anything is new.
    ///
    /// # Errors
    /// A key is another's, is not signed as it must be, or clashes with one that is there; there
    /// are too many; or the database is away.
    pub async fn upload(
        &self,
        requester: &Requester,
        upload: KeyUpload,
    ) -> Result<KeyCounts, E2eeError> {
        let user = &*requester.user_id;
        let device = requester.device_id.as_deref().ok_or(E2eeError::NoDevice)?;
        let _guard = self.inner.users.lock(user).await;
        // The device may have logged out since its token was looked at.
        let key = Device::key_of(user, device);
        if self.inner.store.get::<Device>(&key).await?.is_none() {
            return Err(UserError::UnknownToken.into());
        }
        let mut plan = Plan::new();
        let counts = self.plan_upload(&mut plan, user, device, upload).await?;
        if !plan.is_empty() {
            self.inner.store.commit(plan).await?;
        }
        Ok(counts)
    }

    /// Adds to a plan what a device publishes. The caller holds the user's lock, and sees to it
    /// that there is such a device. Five queries.
    ///
    /// # Errors
    /// As [`E2ee::upload`].
    pub(crate) async fn plan_upload(
        &self,
        plan: &mut Plan,
        user: &UserId,
        device: &DeviceId,
        upload: KeyUpload,
    ) -> Result<KeyCounts, E2eeError> {
        let store = &self.inner.store;
        let mut stock = Stock::load(store, user, device).await?;
        let stored = store
            .get::<DeviceKeys>(&DeviceKeys::key_of(user, device))
            .await?;
        let stored = match &stored {
            Some(keys) => Some(stored_object(&keys.json)?),
            None => None,
        };
        let mut identity = stored.as_ref().and_then(|keys| keys.device_key(device));
        let mut cleared = false;
        if let Some(uploaded) = &upload.device_keys {
            let uploaded = self.checked_device_keys(user, device, uploaded, stored.as_ref());
            let uploaded = uploaded.await?;
            identity = uploaded.device_key(device);
            if stored
                .as_ref()
                .is_some_and(|stored| !stored.has_the_keys_of(&uploaded))
            {
                // Another account on the same device: what the old one published is worth nothing.
                cleared = stock.clear(plan);
            }
            if stored.as_ref() != Some(&uploaded) {
                plan.put(&DeviceKeys {
                    user: user.to_owned(),
                    device_id: device.to_owned(),
                    json: uploaded.to_text(),
                    display_name: None,
                });
                let change = ListChange::of(device.to_owned());
                self.inner
                    .users
                    .plan_list_change(plan, user, change)
                    .await?;
            }
        }
        let one_time = check_all(user, identity.as_ref(), &upload.one_time_keys)?;
        let fallback = check_all(user, identity.as_ref(), &upload.fallback_keys)?;
        let more = stock.add(plan, one_time)?;
        let other = stock.replace_fallback(plan, fallback)?;
        if cleared || more || other {
            plan.log(LogEntry::OneTimeKeys {
                user: user.to_owned(),
                device: device.to_owned(),
            });
        }
        Ok(stock.count())
    }

    /// The identity keys with the signatures that can be believed: the device's own, that of the
    /// user's self-signing key, and those that are known of the same keys.
    async fn checked_device_keys(
        &self,
        user: &UserId,
        device: &DeviceId,
        uploaded: &Raw<encryption::DeviceKeys>,
        stored: Option<&SignedObject>,
    ) -> Result<SignedObject, E2eeError> {
        let json = uploaded.json().get();
        if json.len() > MAX_DEVICE_KEYS_BYTES {
            return Err(E2eeError::TooLarge("The device keys are too large"));
        }
        let mut keys = SignedObject::parse(json)?;
        let mut signers = vec![keys.check_device_keys(user, device)?];
        let id = CrossSigningKey::key_of(user, CrossSigningUsage::SelfSigning);
        if let Some(key) = self.inner.store.get::<CrossSigningKey>(&id).await? {
            signers.extend(stored_object(&key.json)?.cross_signing_key());
        }
        keys.keep_signatures(user, &signers);
        if let Some(stored) = stored.filter(|stored| stored.says_the_same(&keys)) {
            let mut both = stored.clone();
            both.add_signatures_of(user, &keys);
            keys = both;
        }
        Ok(keys)
    }
}
