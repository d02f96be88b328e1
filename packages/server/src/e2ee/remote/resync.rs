//! Asking for a whole list.
//!
//! Whoever needs a list waits for the one request that is under way. What is told of the list while
//! the request is under way may be newer than the answer; then it is asked for again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::FutureExt;
use matryx_client::{federation::FederationError, outbound::Limits};
use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device_keys::DeviceKeys,
    device_list::{DeviceList, DeviceListState},
    key,
    log::LogEntry,
    position::Position,
};
use matryx_surrealdb::{KeyRange, Plan, StoreError};
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::{
        error::ErrorKind,
        federation::device::get_devices::v1::{Request, Response},
    },
};

use super::{RemoteError, RemoteLists, check};

/// The bounds of one question.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(15),
    body: 4 << 20,
};

/// The most devices of a user that are kept.
pub(super) const MAX_DEVICES: usize = 500;

/// The most devices that an entry of the log names. They serve caches, which may also take the
/// whole user.
pub(super) const MAX_NAMED: usize = 50;

/// How often a list is asked for in a row that changes meanwhile.
const MAX_ROUNDS: usize = 3;

/// Why a list could not be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResyncFailed {
    /// No room is shared with the user: nothing may be kept.
    NotShared,
    /// The other server does not answer; perhaps later.
    Later,
    /// The other server's answer is of no use.
    Useless,
    /// This server's own database fails.
    Here,
}

/// What is kept of a user's list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    devices: BTreeMap<OwnedDeviceId, DeviceKeys>,
    cross_signing: BTreeMap<CrossSigningUsage, CrossSigningKey>,
}

impl RemoteLists {
    /// Asks for a list, or waits for who does. Afterwards it is fresh.
    ///
    /// Goes on by itself when nobody waits for it any more.
    pub(super) async fn resync(&self, user: &UserId) -> Result<(), ResyncFailed> {
        let (lists, user) = (self.clone(), user.to_owned());
        let shutdown = self.0.deps.shutdown.clone();
        let flight = async move {
            let fly = || {
                let (lists, user) = (lists.clone(), user.clone());
                async move { lists.ask_for(&user).await }.boxed()
            };
            lists.0.flights.join(&user, fly).await
        };
        let flight = self.0.deps.tasks.spawn(async move {
            let outcome = shutdown.run_until_cancelled(flight).await;
            outcome.unwrap_or(Err(ResyncFailed::Here))
        });
        flight.await.unwrap_or(Err(ResyncFailed::Here))
    }

    /// Notes the number of a change that was told, for who is asking for the list.
    pub(super) fn note_heard(&self, user: &UserId, stream_id: i64) {
        if let Some(heard) = self.0.heard.lock().get_mut(user) {
            *heard = stream_id.max(*heard);
        }
    }

    async fn ask_for(&self, user: &OwnedUserId) -> Result<(), ResyncFailed> {
        let of_one = self.places_of(user.server_name());
        let (Ok(_one), Ok(_all)) = (of_one.acquire().await, self.0.places.acquire().await) else {
            return Err(ResyncFailed::Here);
        };
        let outcome = self.ask_until_settled(user).await;
        self.0.heard.lock().remove(user);
        outcome
    }

    async fn ask_until_settled(&self, user: &OwnedUserId) -> Result<(), ResyncFailed> {
        for _ in 0..MAX_ROUNDS {
            self.0.heard.lock().insert(user.clone(), 0);
            let room = self.0.sharing.room_with(user).await;
            let room = room.map_err(|error| here(&error))?;
            let room = room.ok_or(ResyncFailed::NotShared)?;
            let proof = DeviceListState::Fresh {
                room: room.no,
                place: room.head,
            };
            let (stream_id, contents) = self.fetch(user).await?;
            let _turn = self.lock(user).await;
            let heard = self.0.heard.lock().get(user).copied().unwrap_or_default();
            if heard <= stream_id {
                let done = self.replace(user, stream_id, contents, proof).await;
                return done.map_err(|error| here(&error.into()));
            }
        }
        Err(ResyncFailed::Later)
    }

    /// The list as the other server tells it, as far as it can be believed.
    async fn fetch(&self, user: &OwnedUserId) -> Result<(i64, Contents), ResyncFailed> {
        let request = Request::new(user.clone());
        let answer = self.send(user.server_name(), request, LIMITS).await;
        match answer.ok_or(ResyncFailed::Later)? {
            Ok(answer) if answer.user_id == *user => {
                let stream_id = i64::from(answer.stream_id);
                Ok((stream_id, believed(user, answer)))
            }
            Ok(_) => Err(ResyncFailed::Useless),
            // A user who is gone has no devices.
            Err(error) if error.kind() == Some(&ErrorKind::NotFound) => {
                Ok((0, Contents::default()))
            }
            Err(error) => {
                tracing::info!(%user, %error, "a device list cannot be asked for");
                Err(match error {
                    FederationError::Malformed { .. } => ResyncFailed::Useless,
                    _ => ResyncFailed::Later,
                })
            }
        }
    }

    /// Puts a list in the place of what is kept of it. Clients are told if there is a difference.
    async fn replace(
        &self,
        user: &OwnedUserId,
        stream_id: i64,
        contents: Contents,
        state: DeviceListState,
    ) -> Result<(), StoreError> {
        let before = self.list(user).await?;
        let held = self.contents(user).await?;
        let mut plan = Plan::new();
        let mut changed = BTreeSet::new();
        for (device, keys) in &contents.devices {
            if held.devices.get(device) != Some(keys) {
                plan.put(keys);
                changed.insert(device.clone());
            }
        }
        for device in held.devices.keys() {
            if !contents.devices.contains_key(device) {
                plan.delete::<DeviceKeys>(&DeviceKeys::key_of(user, device));
                changed.insert(device.clone());
            }
        }
        for key in contents.cross_signing.values() {
            plan.put(key);
        }
        for usage in held.cross_signing.keys() {
            if !contents.cross_signing.contains_key(usage) {
                plan.delete::<CrossSigningKey>(&CrossSigningKey::key_of(user, *usage));
            }
        }
        let cross_signing = held.cross_signing != contents.cross_signing;
        let mut list = DeviceList {
            user: user.clone(),
            at: Position::default(),
            stream_id,
            state,
        };
        // Of a list that nobody has asked for nobody has seen another.
        let was_seen = before.as_ref().is_some_and(|before| {
            before.state != DeviceListState::Stale
                || before.stream_id > 0
                || held != Contents::default()
        });
        if was_seen && (cross_signing || !changed.is_empty()) {
            let at = plan.log(LogEntry::Device {
                user: user.clone(),
                devices: changed.into_iter().take(MAX_NAMED).collect(),
                cross_signing,
            });
            plan.put_stamped(&list, at);
        } else {
            list.at = before.map(|before| before.at).unwrap_or_default();
            plan.put(&list);
        }
        self.0.deps.store.commit(plan).await.map(drop)
    }

    async fn contents(&self, user: &UserId) -> Result<Contents, StoreError> {
        let (devices, keys) = self.stored(user).await?;
        Ok(Contents {
            devices: by_device(devices),
            cross_signing: keys.into_iter().map(|key| (key.usage, key)).collect(),
        })
    }

    /// What is kept of a user: two queries.
    pub(super) async fn stored(
        &self,
        user: &UserId,
    ) -> Result<(Vec<DeviceKeys>, Vec<CrossSigningKey>), StoreError> {
        let store = &self.0.deps.store;
        let prefix = key![user.as_str()];
        futures_util::future::try_join(
            store.range(KeyRange::prefix(&prefix)),
            store.range(KeyRange::prefix(&prefix)),
        )
        .await
    }
}

fn here(error: &RemoteError) -> ResyncFailed {
    tracing::warn!(%error, "a device list cannot be kept");
    ResyncFailed::Here
}

fn by_device(devices: Vec<DeviceKeys>) -> BTreeMap<OwnedDeviceId, DeviceKeys> {
    let devices = devices.into_iter();
    devices.map(|keys| (keys.device_id.clone(), keys)).collect()
}

/// What is believed of an answer.
fn believed(user: &OwnedUserId, answer: Response) -> Contents {
    let devices = answer.devices.into_iter().take(MAX_DEVICES);
    let devices = devices.filter_map(|device| {
        let json = check::device_keys(user, &device.device_id, device.keys.json().get())?;
        Some(DeviceKeys {
            user: user.clone(),
            device_id: device.device_id,
            json,
            display_name: check::name(device.device_display_name),
        })
    });
    let mut contents = Contents {
        devices: by_device(devices.collect()),
        ..Contents::default()
    };
    let mut keep = |usage, json| {
        let key = CrossSigningKey {
            user: user.clone(),
            usage,
            json,
        };
        contents.cross_signing.insert(usage, key);
    };
    let master = answer.master_key.as_ref();
    let Some(master) = master.and_then(|it| check::master_key(user, it.json().get())) else {
        return contents;
    };
    let own = answer.self_signing_key.as_ref();
    if let Some(own) = own.and_then(|it| check::self_signing_key(user, it.json().get(), &master)) {
        keep(CrossSigningUsage::SelfSigning, own);
    }
    keep(CrossSigningUsage::Master, master);
    contents
}
