//! Which of the devices that messages are for exist.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use matryx_entity::{device::Device, key, stored::Key};
use matryx_surrealdb::{KeyRange, StoreError};
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId, events::AnyToDeviceEventContent, serde::Raw,
    to_device::DeviceIdOrAllDevices,
};

use super::{Contents, ToDevice};

/// How many devices one query asks for.
const BATCH: usize = 200;

/// The devices that exist, of those that were asked for.
#[derive(Debug, Default)]
pub(super) struct Addressees(HashMap<OwnedUserId, BTreeSet<OwnedDeviceId>>);

impl ToDevice {
    /// Looks the devices up that some contents are for: all at once, but all devices of a user with
    /// a query of their own. Whose account was closed has no devices.
    pub(super) async fn addressees<'a>(
        &self,
        contents: impl IntoIterator<Item = &'a Contents>,
    ) -> Result<Addressees, StoreError> {
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        let mut whole: BTreeSet<&UserId> = BTreeSet::new();
        for (user, devices) in contents.into_iter().flatten() {
            for device in devices.keys() {
                match device {
                    DeviceIdOrAllDevices::AllDevices => {
                        whole.insert(user);
                    }
                    DeviceIdOrAllDevices::DeviceId(device) => {
                        keys.insert(Device::key_of(user, device));
                    }
                }
            }
        }
        let mut found = Addressees::default();
        let keys: Vec<Key> = keys.into_iter().collect();
        for keys in keys.chunks(BATCH) {
            let devices = self.0.store.get_many::<Device>(keys).await?;
            found.note(devices.into_iter().flatten());
        }
        for user in whole {
            let range = KeyRange::prefix(&key![user.as_str()]);
            let devices = self.0.store.range::<Device>(range).await?;
            found.note(devices);
        }
        Ok(found)
    }
}

impl Addressees {
    fn note(&mut self, devices: impl IntoIterator<Item = Device>) {
        for device in devices {
            let known = self.0.entry(device.user).or_default();
            known.insert(device.device_id);
        }
    }

    /// What each device of a user gets that exists. A message for one device goes before the one for
    /// all of them.
    pub(super) fn of<'a>(
        &self,
        user: &UserId,
        contents: &'a BTreeMap<DeviceIdOrAllDevices, Raw<AnyToDeviceEventContent>>,
    ) -> Vec<(OwnedDeviceId, &'a Raw<AnyToDeviceEventContent>)> {
        let Some(known) = self.0.get(user) else {
            return Vec::new();
        };
        let for_all = contents.get(&DeviceIdOrAllDevices::AllDevices);
        let content = |device: &OwnedDeviceId| {
            let own = contents.get(&DeviceIdOrAllDevices::DeviceId(device.clone()));
            Some((device.clone(), own.or(for_all)?))
        };
        known.iter().filter_map(content).collect()
    }
}
