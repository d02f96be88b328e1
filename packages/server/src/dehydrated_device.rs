//! Dehydrated devices: a device of a user that lies on the server, encrypted, and gets keys while
//! the user is logged in nowhere. The next login takes it up and reads what it got.
//!
//! Invariants: a user has one at most, and it is a device like others, without tokens; the record
//! that says so goes with the device, whoever removes it.
//! [Proposal](https://github.com/matrix-org/matrix-spec-proposals/pull/3814)

use matryx_entity::{
    dehydrated_device::DehydratedDevice, device::Device, to_device::ToDeviceMessage,
    token::SyncToken,
};
use matryx_surrealdb::{KeyRange, Plan, Store};
use ruma::{
    DeviceId, OwnedDeviceId, UserId, api::client::dehydrated_device::DehydratedDeviceData,
    serde::Raw,
};

use crate::{
    e2ee::{E2ee, E2eeError, KeyUpload},
    user::{Users, check_device},
};

/// The largest `device_data`, in bytes: an encrypted account with as many one-time keys as it may
/// have takes a fraction of that.
const MAX_DEVICE_DATA_BYTES: usize = 64 << 10;

/// The most messages of one answer.
const MAX_PAGE: usize = 100;

/// A dehydrated device as a client uploads it.
pub struct NewDehydrated {
    /// Its id.
    pub device_id: OwnedDeviceId,
    /// Its name.
    pub display_name: Option<String>,
    /// Its private keys, encrypted.
    pub device_data: Raw<DehydratedDeviceData>,
    /// What it publishes; the identity keys are there.
    pub keys: KeyUpload,
}

/// Messages for a dehydrated device.
pub struct Letters {
    /// The messages, in the order in which they came to each process.
    pub messages: Vec<ToDeviceMessage>,
    /// Shows that the client has them.
    pub next_batch: SyncToken,
}

/// The dehydrated devices. Cheap to clone.
#[derive(Clone)]
pub struct DehydratedDevices {
    store: Store,
    users: Users,
    e2ee: E2ee,
}

impl DehydratedDevices {
    /// The service, on top of accounts and their keys.
    pub fn new(store: Store, users: Users, e2ee: E2ee) -> Self {
        Self { store, users, e2ee }
    }

    /// The user's dehydrated device: one query.
    ///
    /// # Errors
    /// There is none, or the database is away.
    pub async fn lookup(&self, user: &UserId) -> Result<DehydratedDevice, E2eeError> {
        let key = DehydratedDevice::key_of(user);
        let found = self.store.get::<DehydratedDevice>(&key).await?;
        found.ok_or(E2eeError::NoDehydratedDevice)
    }

    /// Puts a dehydrated device in the place of the one that there may be: its removal is one
    /// commit, the new one with all its keys another.
    ///
    /// # Errors
    /// The id is that of a device that is logged in, a key is not acceptable, something is too
    /// large, or the database is away.
    pub async fn put(&self, user: &UserId, new: NewDehydrated) -> Result<(), E2eeError> {
        check_device(Some(&new.device_id), new.display_name.as_deref())?;
        let device_data = new.device_data.json().get().to_owned();
        if device_data.len() > MAX_DEVICE_DATA_BYTES {
            return Err(E2eeError::TooLarge("The device_data is too large"));
        }
        new.device_data
            .deserialize()
            .map_err(E2eeError::Malformed)?;
        let _guard = self.users.lock(user).await;
        let key = DehydratedDevice::key_of(user);
        let known = self.store.get::<DehydratedDevice>(&key).await?;
        let known = known.map(|known| known.device_id);
        let key = Device::key_of(user, &new.device_id);
        let device = self.store.get::<Device>(&key).await?;
        if device.is_some() && known.as_ref() != Some(&new.device_id) {
            return Err(E2eeError::InvalidParam(
                "The ID is that of a device that is logged in",
            ));
        }
        let (id, keys) = (&new.device_id, new.keys);
        if let Some(replaced) = known.filter(|known| known != id) {
            // What is not acceptable leaves the old one in its place.
            let mut tried = Plan::new();
            self.e2ee
                .plan_upload(&mut tried, user, id, keys.clone())
                .await?;
            self.remove(user, &replaced).await?;
        }
        let mut plan = Plan::new();
        self.e2ee.plan_upload(&mut plan, user, id, keys).await?;
        if device.is_none() {
            self.users.plan_nothing_waits(&mut plan, user, id).await?;
            plan.create(&self.users.new_device(user, id.clone(), new.display_name));
        }
        plan.put(&DehydratedDevice {
            user: user.to_owned(),
            device_id: new.device_id,
            device_data,
        });
        self.store.commit(plan).await?;
        Ok(())
    }

    /// Removes the user's dehydrated device and says which it was: one commit.
    ///
    /// # Errors
    /// There is none, or the database is away.
    pub async fn delete(&self, user: &UserId) -> Result<OwnedDeviceId, E2eeError> {
        let _guard = self.users.lock(user).await;
        let known = self.lookup(user).await?;
        self.remove(user, &known.device_id).await?;
        Ok(known.device_id)
    }

    /// Removes a dehydrated device. The caller holds the user's lock.
    async fn remove(&self, user: &UserId, id: &DeviceId) -> Result<(), E2eeError> {
        let device = self.store.get::<Device>(&Device::key_of(user, id)).await?;
        Ok(self.users.commit_removal(user, device.as_slice()).await?)
    }

    /// The next messages for the user's dehydrated device, at most a hundred; those that the
    /// client has, as the token shows, are removed. Two queries, and a commit with a token.
    ///
    /// # Errors
    /// The device is not the user's dehydrated one, the token can't be read, or the database is
    /// away.
    pub async fn messages(
        &self,
        user: &UserId,
        device: &DeviceId,
        since: Option<&str>,
    ) -> Result<Letters, E2eeError> {
        let unreadable = E2eeError::InvalidParam("The next_batch is none of this server");
        let mut reach: SyncToken = match since {
            Some(since) => since.parse().or(Err(unreadable))?,
            None => SyncToken::start(),
        };
        if self.lookup(user).await?.device_id != device {
            return Err(E2eeError::NoDehydratedDevice);
        }
        let waiting = KeyRange::prefix(&ToDeviceMessage::prefix(user, device));
        // As many as one token covers, and as many again.
        let waiting: Vec<ToDeviceMessage> =
            self.store.first_of_range(waiting, 2 * MAX_PAGE).await?;
        let (had, mut next): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|message| reach.covers(message.at));
        if !had.is_empty() {
            let mut plan = Plan::new();
            for message in had {
                let key = ToDeviceMessage::prefix(user, device).at(message.at);
                plan.delete::<ToDeviceMessage>(&key);
            }
            self.store.commit(plan).await?;
        }
        next.truncate(MAX_PAGE);
        for message in &next {
            reach.advance(message.at);
        }
        Ok(Letters {
            messages: next,
            next_batch: reach,
        })
    }
}
