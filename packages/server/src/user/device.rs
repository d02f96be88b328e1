//! A user's devices, as they manage them.

use std::collections::HashMap;

use matryx_entity::{device::Device, device_activity::DeviceActivity, key};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{DeviceId, OwnedDeviceId, UserId};

use super::{ListChange, UserError, Users, session::check_device_name};

/// The most devices that one request removes.
const MAX_REMOVED: usize = 1000;

/// A device and when it was last used.
#[derive(Clone, Debug)]
pub struct ListedDevice {
    /// The device.
    pub device: Device,
    /// When and from where it was last used.
    pub activity: Option<DeviceActivity>,
}

const NO_SUCH_DEVICE: UserError = UserError::NotFound("There is no such device");

impl Users {
    /// A user's devices: two queries.
    ///
    /// # Errors
    /// The database is away.
    pub async fn list_devices(&self, user: &UserId) -> Result<Vec<ListedDevice>, UserError> {
        let devices = self.list_stored_devices(user).await?;
        let range = KeyRange::prefix(&key![user.as_str()]);
        let activity = self.inner.store.range::<DeviceActivity>(range).await?;
        let mut by_device: HashMap<_, _> = activity
            .into_iter()
            .map(|activity| (activity.device_id.clone(), activity))
            .collect();
        let list = |device: Device| {
            let written = by_device.remove(&device.device_id);
            self.listed(device, written)
        };
        Ok(devices.into_iter().map(list).collect())
    }

    /// One device of a user: two queries.
    ///
    /// # Errors
    /// The user has no such device, or the database is away.
    pub async fn device(&self, user: &UserId, id: &DeviceId) -> Result<ListedDevice, UserError> {
        let store = &self.inner.store;
        let device = store.get::<Device>(&Device::key_of(user, id)).await?;
        let device = device.ok_or(NO_SUCH_DEVICE)?;
        let key = DeviceActivity::key_of(user, id);
        let written = store.get::<DeviceActivity>(&key).await?;
        Ok(self.listed(device, written))
    }

    /// Gives a device a name, or takes nothing away when there is none.
    ///
    /// # Errors
    /// The user has no such device, the name is too long, or the database is away.
    pub async fn rename_device(
        &self,
        user: &UserId,
        id: &DeviceId,
        name: Option<String>,
    ) -> Result<(), UserError> {
        check_device_name(name.as_deref())?;
        let _guard = self.lock(user).await;
        let key = Device::key_of(user, id);
        let device = self.inner.store.get::<Device>(&key).await?;
        let mut device = device.ok_or(NO_SUCH_DEVICE)?;
        let Some(name) = name.filter(|name| device.display_name.as_ref() != Some(name)) else {
            return Ok(());
        };
        device.display_name = Some(name);
        let mut plan = Plan::new();
        plan.put(&device);
        let change = ListChange::of(device.device_id);
        self.plan_list_change(&mut plan, user, change).await?;
        self.inner.store.commit(plan).await?;
        Ok(())
    }

    /// Removes devices with their sessions. Those that do not exist are passed over.
    ///
    /// # Errors
    /// There are too many at once, or the database is away.
    pub async fn delete_devices(
        &self,
        user: &UserId,
        ids: &[OwnedDeviceId],
    ) -> Result<(), UserError> {
        if ids.len() > MAX_REMOVED {
            return Err(UserError::InvalidParam("Too many devices at once"));
        }
        self.remove_devices(user, ids).await
    }

    fn listed(&self, device: Device, written: Option<DeviceActivity>) -> ListedDevice {
        let unwritten = self
            .inner
            .activity
            .unwritten(&device.user, &device.device_id);
        ListedDevice {
            device,
            activity: unwritten.or(written),
        }
    }
}
