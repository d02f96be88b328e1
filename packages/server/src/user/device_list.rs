//! A user's list of devices, as others follow it: every change of a device or of a cross-signing
//! key is counted, and written down in the commit of the change.
//!
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user)

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    dehydrated_device::DehydratedDevice,
    device::Device,
    device_keys::DeviceKeys,
    device_list::{DeviceList, DeviceListState},
    fallback_key::FallbackKey,
    issued_key::IssuedKey,
    key,
    key_signature::KeySignature,
    log::LogEntry,
    one_time_key::OneTimeKey,
    position::Position,
    stored::{Key, Stored},
    to_device::ToDeviceMessage,
};
use matryx_surrealdb::{KeyRange, LogIndex, Plan};
use ruma::{DeviceId, OwnedDeviceId, UserId};

use super::{UserError, Users};

/// The most devices that one log entry names.
const DEVICES_PER_ENTRY: usize = 20;

/// What changed of a user's list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListChange {
    /// Devices that came, went, or have another name or other keys.
    pub(crate) devices: Vec<OwnedDeviceId>,
    /// The cross-signing keys changed, or their signatures.
    pub(crate) cross_signing: bool,
}

impl ListChange {
    /// One device changed.
    pub(crate) fn of(device: OwnedDeviceId) -> Self {
        Self {
            devices: vec![device],
            cross_signing: false,
        }
    }

    /// By how much the list's number grows.
    fn count(&self) -> i64 {
        let devices = i64::try_from(self.devices.len()).unwrap_or(i64::MAX);
        devices.saturating_add(i64::from(self.cross_signing))
    }
}

impl Users {
    /// Adds to a plan that a list changed; nothing if it did not. The caller holds the user's
    /// lock. One query.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn plan_list_change(
        &self,
        plan: &mut Plan,
        user: &UserId,
        change: ListChange,
    ) -> Result<(), UserError> {
        let count = change.count();
        let Some(entry) = log_change(plan, user, &change) else {
            return Ok(());
        };
        let key = DeviceList::key_of(user);
        let list = self.inner.store.get::<DeviceList>(&key).await?;
        let before = list.map_or(0, |list| list.stream_id);
        let list = DeviceList {
            user: user.to_owned(),
            at: Position::default(),
            stream_id: before.saturating_add(count),
            state: DeviceListState::Local,
        };
        plan.put_stamped(&list, entry);
        Ok(())
    }

    /// Adds to a plan that devices go: everything that they published, or that waits for them.
    /// The caller holds the user's lock. Five queries.
    ///
    /// # Errors
    /// The database is away.
    pub(super) async fn plan_devices_gone(
        &self,
        plan: &mut Plan,
        user: &UserId,
        devices: &[Device],
    ) -> Result<(), UserError> {
        let is_gone = |id: &OwnedDeviceId| devices.iter().any(|device| device.device_id == *id);
        let prefix = match devices {
            [] => return Ok(()),
            [device] => key![user.as_str(), device.device_id.as_str()],
            _ => key![user.as_str()],
        };
        for device in devices {
            plan.delete::<DeviceKeys>(&DeviceKeys::key_of(user, &device.device_id));
        }
        for key in self.stored::<OneTimeKey>(&prefix).await? {
            if is_gone(&key.device_id) {
                plan.delete::<OneTimeKey>(&key.key());
            }
        }
        for key in self.stored::<IssuedKey>(&prefix).await? {
            if is_gone(&key.device_id) {
                plan.delete::<IssuedKey>(&key.key());
            }
        }
        for key in self.stored::<FallbackKey>(&prefix).await? {
            if is_gone(&key.device_id) {
                plan.delete::<FallbackKey>(&key.key());
            }
        }
        for message in self.stored::<ToDeviceMessage>(&prefix).await? {
            if is_gone(&message.device_id) {
                plan.delete::<ToDeviceMessage>(&waiting_key(&message));
            }
        }
        let key = DehydratedDevice::key_of(user);
        let dehydrated = self.inner.store.get::<DehydratedDevice>(&key).await?;
        if dehydrated.is_some_and(|dehydrated| is_gone(&dehydrated.device_id)) {
            plan.delete::<DehydratedDevice>(&key);
        }
        Ok(())
    }

    /// Adds to a plan that nothing waits for a new device: a message for one of the same name that
    /// was removed must not reach it. One query.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn plan_nothing_waits(
        &self,
        plan: &mut Plan,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<(), UserError> {
        let prefix = ToDeviceMessage::prefix(user, device);
        for message in self.stored::<ToDeviceMessage>(&prefix).await? {
            plan.delete::<ToDeviceMessage>(&waiting_key(&message));
        }
        Ok(())
    }

    /// Adds to a plan that a user's cross-signing keys go, and what the user signed with them. One
    /// query.
    pub(super) async fn plan_identity_gone(
        &self,
        plan: &mut Plan,
        user: &UserId,
    ) -> Result<(), UserError> {
        for usage in CrossSigningUsage::ALL {
            plan.delete::<CrossSigningKey>(&CrossSigningKey::key_of(user, usage));
        }
        for signature in self.stored::<KeySignature>(&key![user.as_str()]).await? {
            plan.delete::<KeySignature>(&signature.key());
        }
        Ok(())
    }

    async fn stored<T: Stored>(&self, prefix: &Key) -> Result<Vec<T>, UserError> {
        Ok(self
            .inner
            .store
            .range::<T>(KeyRange::prefix(prefix))
            .await?)
    }
}

/// Appends the change to the log; the last of its entries.
fn log_change(plan: &mut Plan, user: &UserId, change: &ListChange) -> Option<LogIndex> {
    let entry = |devices: &[OwnedDeviceId], cross_signing| LogEntry::Device {
        user: user.to_owned(),
        devices: devices.to_vec(),
        cross_signing,
    };
    let mut chunks = change.devices.chunks(DEVICES_PER_ENTRY).peekable();
    if chunks.peek().is_none() {
        return change.cross_signing.then(|| plan.log(entry(&[], true)));
    }
    let mut last = None;
    while let Some(devices) = chunks.next() {
        let is_last = chunks.peek().is_none();
        last = Some(plan.log(entry(devices, is_last && change.cross_signing)));
    }
    last
}

fn waiting_key(message: &ToDeviceMessage) -> Key {
    let ToDeviceMessage {
        user,
        device_id,
        at,
        ..
    } = message;
    // A log of 2^63 entries does not exist.
    let seq = i64::try_from(at.seq).unwrap_or(i64::MAX);
    key![user.as_str(), device_id.as_str(), i64::from(at.node), seq]
}
