//! What other servers tell of their users' devices and cross-signing keys.

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device_keys::DeviceKeys,
    device_list::{DeviceList, DeviceListState},
    log::LogEntry,
    position::Position,
};
use matryx_surrealdb::Plan;
use ruma::{
    OwnedDeviceId, OwnedUserId, ServerName, UInt, UserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, SigningKeyUpdateContent},
};
use serde_json::value::RawValue;

use super::{RemoteError, RemoteLists, check, resync::MAX_DEVICES};

/// How much is done for one transaction.
#[derive(Debug)]
pub struct Attention {
    /// How many users, of whom nothing is known, are looked for in all rooms.
    searches: usize,
}

impl Default for Attention {
    fn default() -> Self {
        Self { searches: 3 }
    }
}

/// What an update says of a device.
struct DeviceUpdate {
    user: OwnedUserId,
    device: OwnedDeviceId,
    stream_id: i64,
    prev_ids: Vec<i64>,
    /// None if the device is gone, or has no keys.
    keys: Option<DeviceKeys>,
}

impl DeviceUpdate {
    /// Reads an update; none if it is not to be believed.
    fn read(origin: &ServerName, content: &RawValue) -> Option<Self> {
        let content: DeviceListUpdateContent = serde_json::from_str(content.get()).ok()?;
        let (user, device) = (content.user_id, content.device_id);
        if user.server_name() != origin || !check::is_device_id(&device) {
            return None;
        }
        let is_deleted = content.deleted.unwrap_or_default();
        let keys = match content.keys.filter(|_| !is_deleted) {
            Some(keys) => Some(DeviceKeys {
                json: check::device_keys(&user, &device, keys.json().get())?,
                display_name: check::name(content.device_display_name),
                user: user.clone(),
                device_id: device.clone(),
            }),
            None => None,
        };
        Some(Self {
            user,
            device,
            stream_id: number(content.stream_id),
            prev_ids: content.prev_id.into_iter().map(number).collect(),
            keys,
        })
    }

    /// Does it only say how far the list has come, as when a room is shared from now on?
    fn introduces(&self) -> bool {
        self.prev_ids == [self.stream_id]
    }

    /// Does it follow what is known, so that nothing can have been missed?
    fn follows(&self, known: i64) -> bool {
        !self.prev_ids.is_empty() && self.prev_ids.iter().all(|prev| *prev <= known)
    }
}

fn number(id: UInt) -> i64 {
    i64::from(id)
}

impl RemoteLists {
    /// Takes an `m.device_list_update`. Was it of use?
    /// [Spec](https://spec.matrix.org/v1.19/server-server-api/#definition-mdevice_list_update)
    ///
    /// # Errors
    /// This server's own database fails.
    pub async fn receive_device_update(
        &self,
        origin: &ServerName,
        content: &RawValue,
        attention: &mut Attention,
    ) -> Result<bool, RemoteError> {
        let Some(update) = DeviceUpdate::read(origin, content) else {
            return Ok(false);
        };
        let user = &update.user;
        if update.introduces() && self.list(user).await?.is_none() {
            // Nobody here asked for the list, so nobody has an older one.
            return Ok(true);
        }
        if !self.is_shared(user, attention).await? {
            return Ok(false);
        }
        let _turn = self.lock(user).await;
        self.note_heard(user, update.stream_id);
        let Some(list) = self.list(user).await? else {
            self.distrust(user, None, (vec![update.device], false))
                .await?;
            return Ok(true);
        };
        if !self.is_current(&list).await? {
            let changed = (vec![update.device], false);
            self.distrust(user, Some(list), changed).await?;
            return Ok(true);
        }
        let (devices, _) = self.stored(user).await?;
        let held = devices.iter().find(|it| it.device_id == update.device);
        if update.stream_id <= list.stream_id {
            // It comes again, or the other server counts anew.
            let json = |keys: &DeviceKeys| keys.json.clone();
            if held.map(json) != update.keys.as_ref().map(json) {
                let changed = (vec![update.device], false);
                self.distrust(user, Some(list), changed).await?;
            }
            return Ok(true);
        }
        let is_too_much = held.is_none() && update.keys.is_some() && devices.len() >= MAX_DEVICES;
        if !update.follows(list.stream_id) || is_too_much {
            let changed = (vec![update.device], false);
            self.distrust(user, Some(list), changed).await?;
            return Ok(true);
        }
        let mut plan = Plan::new();
        match &update.keys {
            Some(keys) => plan.put(keys),
            None => plan.delete::<DeviceKeys>(&DeviceKeys::key_of(user, &update.device)),
        };
        let at = plan.log(LogEntry::Device {
            user: user.clone(),
            devices: vec![update.device],
            cross_signing: false,
        });
        let stream_id = update.stream_id;
        plan.put_stamped(&DeviceList { stream_id, ..list }, at);
        self.0.deps.store.commit(plan).await?;
        Ok(true)
    }

    /// Takes an `m.signing_key_update`. Was it of use?
    /// [Spec](https://spec.matrix.org/v1.19/server-server-api/#definition-msigning_key_update)
    ///
    /// # Errors
    /// This server's own database fails.
    pub async fn receive_signing_update(
        &self,
        origin: &ServerName,
        content: &RawValue,
        attention: &mut Attention,
    ) -> Result<bool, RemoteError> {
        let Ok(update) = serde_json::from_str::<SigningKeyUpdateContent>(content.get()) else {
            return Ok(false);
        };
        let user = &update.user_id;
        if user.server_name() != origin || !self.is_shared(user, attention).await? {
            return Ok(false);
        }
        let _turn = self.lock(user).await;
        let list = match self.list(user).await? {
            Some(list) if self.is_current(&list).await? => list,
            list => {
                // The update has no number: whatever answer is on its way may be older.
                self.note_heard(user, i64::MAX);
                self.distrust(user, list, (Vec::new(), true)).await?;
                return Ok(true);
            }
        };
        let (_, held) = self.stored(user).await?;
        let Some(plan) = cross_signing(&update, &held) else {
            return Ok(false);
        };
        self.commit_cross_signing(plan, list).await?;
        Ok(true)
    }

    async fn commit_cross_signing(
        &self,
        mut plan: Plan,
        list: DeviceList,
    ) -> Result<(), RemoteError> {
        let at = plan.log(LogEntry::Device {
            user: list.user.clone(),
            devices: Vec::new(),
            cross_signing: true,
        });
        plan.put_stamped(&list, at);
        self.0.deps.store.commit(plan).await?;
        Ok(())
    }

    /// Does the user share a room with this server? A user of whom nothing is known is looked for in
    /// all rooms only so many times.
    pub(crate) async fn is_shared(
        &self,
        user: &UserId,
        attention: &mut Attention,
    ) -> Result<bool, RemoteError> {
        let sharing = &self.0.sharing;
        if sharing.remembered(user).await?.is_some() {
            return Ok(true);
        }
        if self.list(user).await?.is_none() {
            let Some(left) = attention.searches.checked_sub(1) else {
                return Ok(false);
            };
            attention.searches = left;
        }
        Ok(sharing.room_with(user).await?.is_some())
    }

    /// Is a list known up to the change that it names, without a chance of having missed one?
    pub(super) async fn is_current(&self, list: &DeviceList) -> Result<bool, RemoteError> {
        let DeviceListState::Fresh { room, place } = list.state else {
            return Ok(false);
        };
        self.0.sharing.holds_since(&list.user, room, place).await
    }

    /// Notes that a list has changed in a way that is not known, tells clients, and sees to it that
    /// the list is asked for: unless nobody ever did.
    async fn distrust(
        &self,
        user: &UserId,
        list: Option<DeviceList>,
        (devices, cross_signing): (Vec<OwnedDeviceId>, bool),
    ) -> Result<(), RemoteError> {
        let was_stale = list
            .as_ref()
            .is_some_and(|list| list.state == DeviceListState::Stale);
        let stream_id = list.map_or(0, |list| list.stream_id);
        // Who was told that it is stale, and asked, made it fresh.
        if !was_stale {
            let mut plan = Plan::new();
            let at = plan.log(LogEntry::Device {
                user: user.to_owned(),
                devices,
                cross_signing,
            });
            let list = DeviceList {
                user: user.to_owned(),
                at: Position::default(),
                stream_id,
                state: DeviceListState::Stale,
            };
            plan.put_stamped(&list, at);
            self.0.deps.store.commit(plan).await?;
        }
        if stream_id > 0 {
            self.schedule(user);
        }
        Ok(())
    }
}

/// The keys that an update changes; none if it changes none, or is not to be believed.
fn cross_signing(update: &SigningKeyUpdateContent, held: &[CrossSigningKey]) -> Option<Plan> {
    let user = &update.user_id;
    let of = |usage| held.iter().find(move |key| key.usage == usage);
    let keep = |plan: &mut Plan, usage, json: &str| {
        if of(usage).is_none_or(|held| held.json != json) {
            plan.put(&CrossSigningKey {
                user: user.clone(),
                usage,
                json: json.to_owned(),
            });
        }
    };
    let mut plan = Plan::new();
    let master = match &update.master_key {
        Some(master) => {
            let json = check::master_key(user, master.json().get())?;
            keep(&mut plan, CrossSigningUsage::Master, &json);
            json
        }
        None => of(CrossSigningUsage::Master)?.json.clone(),
    };
    if let Some(own) = &update.self_signing_key {
        let own = check::self_signing_key(user, own.json().get(), &master)?;
        keep(&mut plan, CrossSigningUsage::SelfSigning, &own);
    } else if let Some(own) = of(CrossSigningUsage::SelfSigning)
        && check::self_signing_key(user, &own.json, &master).is_none()
    {
        // The one before was signed by another master key.
        let place = CrossSigningKey::key_of(user, CrossSigningUsage::SelfSigning);
        plan.delete::<CrossSigningKey>(&place);
    }
    (!plan.is_empty()).then_some(plan)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use serde_json::json;

    use super::*;

    fn read(update: &serde_json::Value) -> Option<DeviceUpdate> {
        let content = RawValue::from_string(update.to_string()).unwrap();
        DeviceUpdate::read(server_name!("x"), &content)
    }

    #[test]
    fn an_update_follows_what_is_known_or_there_is_a_gap() {
        let update = |prev: serde_json::Value| {
            json!({
                "user_id": "@a:x", "device_id": "D", "stream_id": 9, "prev_id": prev,
                "deleted": true,
            })
        };
        let follows = |prev, known| read(&update(prev)).unwrap().follows(known);
        assert!(follows(json!([8]), 8) && follows(json!([3, 7]), 8));
        assert!(!follows(json!([8]), 7) && !follows(json!([3, 7]), 6));
        assert!(!follows(json!([]), 8), "that says nothing");
        assert!(follows(json!([9]), 9) && !follows(json!([9]), 8));
    }

    #[test]
    fn a_forged_update_is_not_read() {
        let mut update = json!({
            "user_id": "@a:x", "device_id": "D", "stream_id": 9, "keys": { "user_id": "@a:x" },
        });
        assert!(read(&update).is_none(), "unsigned");
        update["deleted"] = json!(true);
        assert!(read(&update).unwrap().keys.is_none());
        update["user_id"] = json!("@a:y");
        assert!(read(&update).is_none());
        update["user_id"] = json!("@a:x");
        update["device_id"] = json!("D".repeat(300));
        assert!(read(&update).is_none());
    }
}
