//! Applying what is about devices: their lists, messages and keys, and that they are gone.

use std::sync::Arc;

use matryx_entity::{log::LogEntry, position::Position};
use ruma::{DeviceId, UserId};

use super::{
    apply::{Loaded, Wake},
    engine::Inner,
    inbox::{DeviceName, Inbox},
    index::Change,
};

impl Inner {
    /// Applies an entry if it is about devices.
    pub(crate) fn apply_to_devices(
        &self,
        at: Position,
        entry: &LogEntry,
        loaded: &Loaded,
        wake: &mut Wake,
    ) -> Change {
        match entry {
            LogEntry::Revoked { user, device } => {
                self.forget_devices(user, device.as_deref());
                wake.users.push(user.clone());
            }
            LogEntry::ToDevice { user, devices } => {
                for device in devices {
                    self.apply_message(at, &(user.clone(), device.clone()), loaded);
                }
                wake.users.push(user.clone());
            }
            LogEntry::Device { user, .. } => {
                wake.devices_of.push(user.clone());
                return Change::Device { user: user.clone() };
            }
            LogEntry::Signed { user, targets } => {
                wake.users.push(user.clone());
                return Change::Signed {
                    user: user.clone(),
                    targets: targets.as_slice().into(),
                };
            }
            LogEntry::SentToDevice { txn } => self.transactions.insert_done(txn.clone()),
            LogEntry::OneTimeKeys { user, device } => {
                let device = (user.clone(), device.clone());
                self.key_stocks.invalidate(&device);
                wake.users.push(user.clone());
                let (user, device) = device;
                return Change::OneTimeKeys { user, device };
            }
            _ => {}
        }
        Change::Other
    }

    /// A message for a device came. If it did not come along, the inbox is read again.
    fn apply_message(&self, at: Position, device: &DeviceName, loaded: &Loaded) {
        let message = match loaded {
            Loaded::ToDevice(messages) => messages.iter().find(|it| it.device_id == device.1),
            _ => None,
        };
        match message {
            Some(message) => self.inboxes.update(device, |inbox| {
                let mut next = Inbox::clone(inbox);
                next.insert(at, Arc::clone(message));
                Some(Arc::new(next))
            }),
            None => self.inboxes.invalidate(device),
        }
    }

    /// A device is gone, or all of a user's are: so is what they had.
    fn forget_devices(&self, user: &UserId, device: Option<&DeviceId>) {
        let is_gone =
            |(of, name): &DeviceName| of == user && device.is_none_or(|device| device == name);
        self.inboxes.invalidate_where(is_gone);
        self.key_stocks.invalidate_where(is_gone);
    }
}
