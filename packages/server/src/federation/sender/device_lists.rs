//! What other servers are told of the devices and cross-signing keys of this server's users.
//!
//! What waits for a server says which users have changed, and how; the messages are made when they
//! leave, of what is stored then. A server that is to learn of a whole list is sent one message with
//! a number that it can't know, and asks for the list.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#device-management)

use std::collections::{BTreeMap, BTreeSet};

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device::Device,
    device_keys::DeviceKeys,
    device_list::DeviceList,
    key,
    position::Position,
};
use matryx_surrealdb::KeyRange;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, UInt, UserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, Edu, SigningKeyUpdateContent},
    serde::Raw,
};

use super::{SenderError, Shared};

/// The most messages about device lists in a transaction, of the hundred that it may have.
const MAX_EDUS: usize = 50;

/// With more devices of a user that changed, the whole list is to be asked for.
const MAX_DEVICES: usize = 10;

/// The most users whose lists wait for one server in memory.
pub(super) const MAX_USERS: usize = 5_000;

/// What of a list is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListChange {
    /// These changes.
    Part {
        devices: BTreeSet<OwnedDeviceId>,
        cross_signing: bool,
        /// How many changes that were, by which the list's number went up.
        count: i64,
    },
    /// Everything: the server may know nothing of the user.
    Whole,
}

impl ListChange {
    pub(super) fn part(devices: &[OwnedDeviceId], cross_signing: bool) -> Self {
        let count = devices.len() + usize::from(cross_signing);
        Self::Part {
            devices: devices.iter().cloned().collect(),
            cross_signing,
            count: i64::try_from(count).unwrap_or(i64::MAX),
        }
        .bounded()
    }

    fn bounded(self) -> Self {
        match self {
            Self::Part { devices, .. } if devices.len() > MAX_DEVICES => Self::Whole,
            other => other,
        }
    }

    fn and(self, later: Self) -> Self {
        match (self, later) {
            (
                Self::Part {
                    mut devices,
                    cross_signing,
                    count,
                },
                Self::Part {
                    devices: more,
                    cross_signing: as_well,
                    count: further,
                },
            ) => {
                devices.extend(more);
                Self::Part {
                    devices,
                    cross_signing: cross_signing || as_well,
                    count: count.saturating_add(further),
                }
                .bounded()
            }
            _ => Self::Whole,
        }
    }

    /// How many messages say it.
    fn messages(&self) -> usize {
        match self {
            Self::Part {
                devices,
                cross_signing,
                ..
            } => devices.len() + usize::from(*cross_signing),
            Self::Whole => 1,
        }
    }
}

/// Changed lists, by user.
pub(super) type ListChanges = BTreeMap<OwnedUserId, ListChange>;

/// Adds a change to others.
pub(super) fn add(changes: &mut ListChanges, user: OwnedUserId, change: ListChange) {
    let change = match changes.remove(&user) {
        Some(before) => before.and(change),
        None => change,
    };
    changes.insert(user, change);
}

/// As many as go with one transaction, taken out of the others.
pub(super) fn take(changes: &mut ListChanges) -> ListChanges {
    let mut taken = ListChanges::new();
    let mut messages = 0;
    while let Some((user, change)) = changes.pop_first() {
        messages += change.messages();
        if messages > MAX_EDUS && !taken.is_empty() {
            changes.insert(user, change);
            break;
        }
        taken.insert(user, change);
    }
    taken
}

/// The lists that wait for one server.
#[derive(Debug, Default)]
pub(super) struct Lists {
    waiting: ListChanges,
    /// Those of the transaction that is on its way.
    leaving: ListChanges,
    /// The entries of the log that asked for all of these.
    asked_at: Vec<Position>,
}

impl Lists {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.leaving.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.leaving.len()
    }

    /// The first entry of each log for which not everything has arrived.
    pub(super) fn asked_at(&self) -> &[Position] {
        &self.asked_at
    }

    pub(super) fn add(&mut self, at: Position, user: OwnedUserId, change: ListChange) {
        let of_node = |first: &&mut Position| first.node == at.node;
        match self.asked_at.iter_mut().find(of_node) {
            Some(first) => first.seq = at.seq.min(first.seq),
            None => self.asked_at.push(at),
        }
        add(&mut self.waiting, user, change);
    }

    /// What goes with the next transaction.
    pub(super) fn take(&mut self) -> ListChanges {
        self.put_back();
        self.leaving = take(&mut self.waiting);
        self.leaving.clone()
    }

    /// The transaction arrived.
    pub(super) fn arrived(&mut self) {
        self.leaving.clear();
        if self.waiting.is_empty() {
            self.asked_at.clear();
        }
    }

    /// The transaction did not arrive.
    pub(super) fn put_back(&mut self) {
        for (user, change) in std::mem::take(&mut self.leaving) {
            let change = match self.waiting.remove(&user) {
                Some(later) => change.and(later),
                None => change,
            };
            self.waiting.insert(user, change);
        }
    }
}

/// What is stored of a user's list.
struct Stored {
    list: DeviceList,
    keys: BTreeMap<OwnedDeviceId, DeviceKeys>,
    devices: BTreeMap<OwnedDeviceId, Device>,
}

impl Stored {
    /// What a device is now.
    fn update(
        &self,
        device: &DeviceId,
        (stream_id, prev_id): (i64, i64),
        names: bool,
    ) -> Result<Raw<Edu>, SenderError> {
        let user = self.list.user.clone();
        let mut content = DeviceListUpdateContent::new(user, device.to_owned(), number(stream_id));
        content.prev_id = vec![number(prev_id)];
        let held = self.devices.get(device);
        let keys = self.keys.get(device);
        if held.is_none() && keys.is_none() {
            content.deleted = Some(true);
        } else {
            let name = held.and_then(|device| device.display_name.clone());
            content.device_display_name = name.filter(|_| names);
            let keys = keys.map(|keys| Raw::from_json_string(keys.json.clone()));
            content.keys = keys.transpose()?;
        }
        Ok(Raw::new(&Edu::DeviceListUpdate(content))?)
    }
}

fn number(id: i64) -> UInt {
    UInt::try_from(id).unwrap_or_default()
}

impl Shared {
    /// The messages that say what has changed, as it is now.
    pub(super) async fn list_edus(
        &self,
        changes: &ListChanges,
    ) -> Result<Vec<Raw<Edu>>, SenderError> {
        let mut edus = Vec::new();
        for (user, change) in changes {
            let store = &self.deps.store;
            let list: Option<DeviceList> = store.get(&DeviceList::key_of(user)).await?;
            // Nothing was ever told of a user without one.
            let Some(list) = list else { continue };
            let prefix = key![user.as_str()];
            let keys: Vec<DeviceKeys> = store.range(KeyRange::prefix(&prefix)).await?;
            let devices: Vec<Device> = store.range(KeyRange::prefix(&prefix)).await?;
            let keys = keys.into_iter().map(|it| (it.device_id.clone(), it));
            let devices = devices.into_iter().map(|it| (it.device_id.clone(), it));
            let stored = Stored {
                list,
                keys: keys.collect(),
                devices: devices.collect(),
            };
            if let ListChange::Part {
                cross_signing: true,
                ..
            } = change
            {
                edus.extend(self.signing_update(user).await?);
            }
            edus.extend(self.device_updates(&stored, change)?);
        }
        Ok(edus)
    }

    fn device_updates(
        &self,
        stored: &Stored,
        change: &ListChange,
    ) -> Result<Vec<Raw<Edu>>, SenderError> {
        let (names, newest) = (self.deps.device_names, stored.list.stream_id);
        let (devices, count) = match change {
            ListChange::Part { devices, count, .. } => (devices, *count),
            ListChange::Whole => {
                // That the newest change follows itself is news to who does not know it, and only
                // to them.
                let device = stored.keys.keys().chain(stored.devices.keys()).next();
                let nobody = OwnedDeviceId::from("NONE");
                let device = device.unwrap_or(&nobody);
                return Ok(vec![stored.update(device, (newest, newest), names)?]);
            }
        };
        let numbered = i64::try_from(devices.len()).unwrap_or(i64::MAX);
        let mut prev = newest - count.max(numbered);
        let mut updates = Vec::with_capacity(devices.len());
        for (device, stream_id) in devices.iter().zip(newest - numbered + 1..) {
            updates.push(stored.update(device, (stream_id, prev), names)?);
            prev = stream_id;
        }
        Ok(updates)
    }

    /// What a user's cross-signing keys are now; nothing if there are none any more.
    async fn signing_update(&self, user: &UserId) -> Result<Option<Raw<Edu>>, SenderError> {
        let range = KeyRange::prefix(&key![user.as_str()]);
        let keys: Vec<CrossSigningKey> = self.deps.store.range(range).await?;
        let mut content = SigningKeyUpdateContent::new(user.to_owned());
        for key in keys {
            let slot = match key.usage {
                CrossSigningUsage::Master => &mut content.master_key,
                CrossSigningUsage::SelfSigning => &mut content.self_signing_key,
                // For its owner's eyes only.
                CrossSigningUsage::UserSigning => continue,
            };
            *slot = Some(Raw::from_json_string(key.json)?);
        }
        if content.master_key.is_none() && content.self_signing_key.is_none() {
            return Ok(None);
        }
        Ok(Some(Raw::new(&Edu::SigningKeyUpdate(content))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(devices: &[&str], cross_signing: bool) -> ListChange {
        let devices: Vec<OwnedDeviceId> = devices.iter().map(|id| (*id).into()).collect();
        ListChange::part(&devices, cross_signing)
    }

    fn user(number: usize) -> OwnedUserId {
        format!("@u{number:04}:x").try_into().unwrap()
    }

    #[test]
    fn changes_of_one_list_become_one() {
        let mut lists = Lists::default();
        lists.add((1, 7).into(), user(1), part(&["A"], false));
        lists.add((1, 5).into(), user(1), part(&["A", "B"], true));
        lists.add((2, 9).into(), user(2), part(&["A"], false));
        assert_eq!(lists.asked_at(), [(1, 5).into(), (2, 9).into()]);
        let taken = lists.take();
        let both = ListChange::Part {
            devices: ["A".into(), "B".into()].into(),
            cross_signing: true,
            count: 4,
        };
        assert_eq!(taken.get(&user(1)), Some(&both));

        // What comes while they are on their way follows them.
        lists.add((1, 8).into(), user(1), part(&["C"], false));
        lists.put_back();
        let taken = lists.take();
        assert_eq!(taken.get(&user(1)).map(ListChange::messages), Some(4));
        lists.arrived();
        assert!(lists.is_empty() && lists.asked_at().is_empty());
    }

    #[test]
    fn many_changes_become_the_whole_list() {
        let many: Vec<String> = (0..=MAX_DEVICES).map(|it| it.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(part(&many, false), ListChange::Whole);
        assert_eq!(
            part(&["A"], false).and(ListChange::Whole),
            ListChange::Whole
        );
        assert_eq!(
            ListChange::Whole.and(part(&["A"], false)),
            ListChange::Whole
        );
    }

    #[test]
    fn a_transaction_has_room_for_so_many() {
        let mut lists = Lists::default();
        for number in 0..120 {
            lists.add((1, 1).into(), user(number), ListChange::Whole);
        }
        for left in [70, 20, 0] {
            assert!(lists.take().len() <= MAX_EDUS);
            lists.arrived();
            assert_eq!(lists.len(), left);
        }
        lists.add((1, 1).into(), user(1), part(&["A", "B"], true));
        assert_eq!(lists.take().len(), 1);
    }
}
