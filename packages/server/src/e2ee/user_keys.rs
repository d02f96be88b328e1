//! What the server knows of one user's keys.

use std::{collections::BTreeMap, sync::Arc};

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device::Device,
    device_keys::DeviceKeys,
    device_list::DeviceList,
    key,
    position::Position,
    user::User,
};
use matryx_surrealdb::{KeyRange, Store};
use ruma::{OwnedDeviceId, UserId, encryption, serde::Raw};
use serde_json::value::to_raw_value;

use super::{E2eeError, cache::Weigh, remote::ToldKeys};

/// A user's devices with keys and cross-signing keys, ready to be told.
#[derive(Debug)]
pub struct UserKeys {
    /// The version of the list, which the user's server counts.
    pub stream_id: i64,
    /// When the list last changed here.
    pub at: Position,
    /// The devices that have keys, in the order of their ids.
    pub devices: Vec<KnownDevice>,
    /// The master key.
    pub master: Option<Raw<encryption::CrossSigningKey>>,
    /// The key that signs devices.
    pub self_signing: Option<Raw<encryption::CrossSigningKey>>,
    /// The key that signs other users, which is for its owner's eyes only.
    pub user_signing: Option<Raw<encryption::CrossSigningKey>>,
}

/// A device with keys.
#[derive(Debug)]
pub struct KnownDevice {
    /// Its id.
    pub device_id: OwnedDeviceId,
    /// Its keys as they are signed.
    pub keys: Raw<encryption::DeviceKeys>,
    /// The name that its user gave it.
    pub display_name: Option<String>,
    /// The keys with the name.
    named: Option<Raw<encryption::DeviceKeys>>,
}

impl KnownDevice {
    fn new(stored: DeviceKeys, display_name: Option<String>) -> Result<Self, serde_json::Error> {
        let named = match (&display_name, stored.json.strip_suffix('}')) {
            (Some(name), Some(fields)) => {
                let name = to_raw_value(name)?;
                let unsigned = format!(r#""unsigned":{{"device_display_name":{name}}}"#);
                Some(Raw::from_json_string(format!("{fields},{unsigned}}}"))?)
            }
            _ => None,
        };
        Ok(Self {
            device_id: stored.device_id,
            keys: Raw::from_json_string(stored.json)?,
            display_name,
            named,
        })
    }

    /// The keys, with the device's name if it has one that may be told.
    pub fn told(&self, with_name: bool) -> &Raw<encryption::DeviceKeys> {
        let named = self.named.as_ref().filter(|_| with_name);
        named.unwrap_or(&self.keys)
    }

    fn bytes(&self) -> usize {
        let named = self
            .named
            .as_ref()
            .map_or(0, |keys| keys.json().get().len());
        self.keys.json().get().len() + named + self.device_id.as_str().len() + 128
    }
}

impl UserKeys {
    /// Is this what the list holds?
    pub(super) fn is_of(&self, list: &DeviceList) -> bool {
        (self.stream_id, self.at) == (list.stream_id, list.at)
    }

    /// What another server told of a user whose list is not kept.
    pub(super) fn told(told: ToldKeys) -> Result<Self, serde_json::Error> {
        let devices = told.devices.into_iter().map(|mut device| {
            let name = device.display_name.take();
            KnownDevice::new(device, name)
        });
        Ok(Self {
            stream_id: 0,
            at: Position::default(),
            devices: devices.collect::<Result<_, _>>()?,
            master: told.master.map(Raw::from_json_string).transpose()?,
            self_signing: told.self_signing.map(Raw::from_json_string).transpose()?,
            user_signing: None,
        })
    }
}

impl Weigh for UserKeys {
    fn bytes(&self) -> usize {
        let cross_signing = [&self.master, &self.self_signing, &self.user_signing];
        let cross_signing = cross_signing.into_iter().flatten();
        let cross_signing = cross_signing.map(|key| key.json().get().len());
        self.devices.iter().map(KnownDevice::bytes).sum::<usize>() + cross_signing.sum::<usize>()
    }
}

/// Reads what there is of a user: four queries, a fifth for one of this server. None if there is
/// no such account here, or nothing is known of a user of another server.
pub(super) async fn load(
    store: &Store,
    user: &UserId,
    is_local: bool,
) -> Result<Option<Arc<UserKeys>>, E2eeError> {
    if is_local {
        let account = store.get::<User>(&User::key_of(user)).await?;
        if account.is_none_or(|account| account.deactivated.is_some()) {
            return Ok(None);
        }
    }
    // The version before what it is the version of: what changes in between is told once more.
    let list = store.get::<DeviceList>(&DeviceList::key_of(user)).await?;
    let (stream_id, at) = match list {
        Some(list) => (list.stream_id, list.at),
        None if is_local => (0, Position::default()),
        None => return Ok(None),
    };
    let prefix = KeyRange::prefix(&key![user.as_str()]);
    let stored = store.range::<DeviceKeys>(prefix.clone()).await?;
    let mut names: BTreeMap<OwnedDeviceId, Option<String>> = BTreeMap::new();
    if is_local && !stored.is_empty() {
        let devices = store.range::<Device>(prefix.clone()).await?;
        names.extend(
            devices
                .into_iter()
                .map(|device| (device.device_id, device.display_name)),
        );
    }
    let mut keys = UserKeys {
        stream_id,
        at,
        devices: Vec::with_capacity(stored.len()),
        master: None,
        self_signing: None,
        user_signing: None,
    };
    for mut stored in stored {
        let name = if is_local {
            names.remove(&stored.device_id).flatten()
        } else {
            stored.display_name.take()
        };
        let device = KnownDevice::new(stored, name).map_err(E2eeError::Json)?;
        keys.devices.push(device);
    }
    for stored in store.range::<CrossSigningKey>(prefix).await? {
        let slot = match stored.usage {
            CrossSigningUsage::Master => &mut keys.master,
            CrossSigningUsage::SelfSigning => &mut keys.self_signing,
            CrossSigningUsage::UserSigning => &mut keys.user_signing,
        };
        *slot = Some(Raw::from_json_string(stored.json).map_err(E2eeError::Json)?);
    }
    Ok(Some(Arc::new(keys)))
}
