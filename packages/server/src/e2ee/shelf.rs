//! The one-time keys of a user while they are claimed one after another, so that each claim does not
//! read all of them.
//!
//! A shelf is true for as long as the log says nothing about its user's keys, and who claims puts it
//! back without what went. Where another process was quicker, the creation of the
//! [`IssuedKey`](matryx_entity::issued_key::IssuedKey) says so and the shelf is read again: it can
//! cost a try, and never a key.

use std::{collections::BTreeMap, sync::Arc};

use matryx_entity::{
    one_time_key::OneTimeKey,
    stored::{Key, Stored},
};
use ruma::{DeviceId, OneTimeKeyAlgorithm, OwnedDeviceId};

use super::cache::Weigh;

/// What a key takes besides its text.
const KEY_BYTES: usize = 256;

/// Unclaimed keys of a user's devices. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    /// The oldest first. Not of all devices, but of those that are here all keys.
    keys: Vec<Arc<OneTimeKey>>,
}

impl Shelf {
    /// A shelf of keys in any order.
    pub(super) fn new(keys: Vec<OneTimeKey>) -> Self {
        let mut keys: Vec<_> = keys.into_iter().map(Arc::new).collect();
        keys.sort_unstable_by_key(|key| key.no);
        Self { keys }
    }

    /// The oldest key of a device after so many others, or its newest if there are not so many.
    pub(super) fn oldest(
        &self,
        device: &DeviceId,
        algorithm: &OneTimeKeyAlgorithm,
        after: usize,
    ) -> Option<&OneTimeKey> {
        let is_it =
            |key: &&Arc<OneTimeKey>| key.device_id == device && key.algorithm == algorithm.as_str();
        let keys = self.keys.iter().filter(is_it);
        keys.take(after + 1).last().map(|key| &**key)
    }

    /// Whether there is a key for each of these. If not, there may be one all the same.
    pub(super) fn has_all(&self, wanted: &BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>) -> bool {
        let mut wanted = wanted.iter();
        wanted.all(|(device, algorithm)| self.oldest(device, algorithm, 0).is_some())
    }

    /// What is left without these.
    pub(super) fn without(&self, gone: &[Key]) -> Self {
        let is_left = |key: &&Arc<OneTimeKey>| !gone.contains(&key.key());
        Self {
            keys: self.keys.iter().filter(is_left).cloned().collect(),
        }
    }
}

impl Weigh for Shelf {
    fn bytes(&self) -> usize {
        let keys = self.keys.iter();
        keys.map(|key| KEY_BYTES + key.json.len()).sum()
    }
}
