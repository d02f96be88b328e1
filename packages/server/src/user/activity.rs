//! When devices were last used: kept in memory, written in batches.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::Duration,
};

use matryx_entity::device_activity::DeviceActivity;
use matryx_surrealdb::Plan;
use parking_lot::Mutex;
use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, UserId};

use super::{UserError, Users, later};

/// A use this soon after the last one is not noted.
const RESOLUTION: Duration = Duration::from_mins(1);
/// How many devices are remembered; beyond that all are forgotten, which costs a few more writes.
const MAX_DEVICES: usize = 50_000;
/// How many records are written in one commit.
const BATCH: usize = 500;

/// The last uses that this process has seen. A plain mutex: held for one lookup per request.
#[derive(Default)]
pub(super) struct Activity {
    hasher: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By the hash of user and device. A collision makes one of two devices look older.
    last: HashMap<u64, MilliSecondsSinceUnixEpoch>,
    unwritten: HashMap<u64, DeviceActivity>,
}

impl Activity {
    fn note(&self, user: &UserId, device: &DeviceId, ip: IpAddr, now: MilliSecondsSinceUnixEpoch) {
        let id = self.id(user, device);
        let mut seen = self.seen.lock();
        if let Some(last) = seen.last.get(&id)
            && now < later(*last, RESOLUTION)
        {
            return;
        }
        if seen.last.len() >= MAX_DEVICES {
            seen.last.clear();
        }
        seen.last.insert(id, now);
        let activity = DeviceActivity {
            user: user.to_owned(),
            device_id: device.to_owned(),
            last_seen_ts: now,
            last_seen_ip: ip,
        };
        seen.unwritten.insert(id, activity);
    }

    /// A use that is not in the database yet.
    pub(super) fn unwritten(&self, user: &UserId, device: &DeviceId) -> Option<DeviceActivity> {
        let id = self.id(user, device);
        self.seen.lock().unwritten.get(&id).cloned()
    }

    pub(super) fn forget(&self, user: &UserId, device: &DeviceId) {
        let id = self.id(user, device);
        let mut seen = self.seen.lock();
        seen.last.remove(&id);
        seen.unwritten.remove(&id);
    }

    fn take(&self) -> Vec<DeviceActivity> {
        let unwritten = std::mem::take(&mut self.seen.lock().unwritten);
        unwritten.into_values().collect()
    }

    fn id(&self, user: &UserId, device: &DeviceId) -> u64 {
        self.hasher.hash_one((user.as_str(), device.as_str()))
    }
}

impl Users {
    /// Notes that a device was used. Nothing is read or written.
    pub fn note_use(&self, user: &UserId, device: &DeviceId, ip: IpAddr) {
        self.inner.activity.note(user, device, ip, self.now());
    }

    /// Writes down what was noted.
    pub(super) async fn write_activity(&self) -> Result<(), UserError> {
        for batch in self.inner.activity.take().chunks(BATCH) {
            let mut plan = Plan::new();
            for activity in batch {
                plan.put(activity);
            }
            self.inner.store.commit(plan).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ruma::{UInt, device_id, user_id};

    use super::*;

    fn at(seconds: u32) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::from(seconds * 1000))
    }

    #[test]
    fn notes_a_device_once_a_minute_and_forgets_it_with_the_device() {
        let activity = Activity::default();
        let (user, device) = (user_id!("@alice:localhost"), device_id!("PHONE"));
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        activity.note(user, device, ip, at(10));
        activity.note(user, device, ip, at(20));
        let [first] = activity.take().try_into().unwrap();
        assert_eq!(first.last_seen_ts, at(10));
        activity.note(user, device, ip, at(69));
        assert!(activity.take().is_empty());
        activity.note(user, device, ip, at(70));
        assert!(activity.unwritten(user, device).is_some());
        activity.forget(user, device);
        assert!(activity.take().is_empty());
    }
}
