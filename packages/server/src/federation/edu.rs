//! Messages of other servers that are no events: typing, receipts, presence, changes of device
//! lists, and messages to devices.
//! Whatever else there is, is ignored, and so is what has the wrong form, is about users of somebody
//! else, or is too much.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#edus)

mod to_device;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use matryx_client::sync::RemotePresence;
use matryx_entity::room_snapshot::RoomSnapshot;
use matryx_surrealdb::StoreError;
use metrics::counter;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, ServerName,
    api::federation::transactions::edu::{Edu, PresenceUpdate, ReceiptData, TypingContent},
    presence::PresenceState,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    e2ee::remote::{Attention, RemoteError, RemoteLists},
    room::{RoomError, Rooms, acl::ServerAcls},
    to_device::{DirectToDevice, ToDevice},
};

/// The most bytes of one message. Those that servers make are far smaller.
const MAX_BYTES: usize = 256 << 10;

/// The most bytes of one message to devices: some servers put all that a client sends into one.
const MAX_TO_DEVICE_BYTES: usize = 2 << 20;

/// The most receipts of one transaction that are looked at.
const MAX_RECEIPTS: usize = 500;

/// The most users of one transaction whose presence is looked at.
const MAX_PRESENCE: usize = 500;

/// The longest message with a presence, in bytes.
const MAX_STATUS: usize = 2048;

/// The most rooms of one transaction that are looked at.
const MAX_ROOMS: usize = 200;

#[derive(Deserialize)]
struct Envelope {
    edu_type: String,
    content: Box<RawValue>,
}

/// The receipts of one room; kinds other than the public one do not leave a server.
#[derive(Deserialize)]
struct RoomReceipts {
    #[serde(rename = "m.read", default)]
    read: BTreeMap<String, Box<RawValue>>,
}

/// What is said of the presence of users.
#[derive(Deserialize)]
struct Pushed {
    push: Vec<Box<RawValue>>,
}

/// This server's own database or caches fail.
#[derive(Debug, thiserror::Error)]
enum EduError {
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    DeviceList(#[from] RemoteError),
}

/// Takes the ephemeral messages of one transaction in.
pub struct EduReceiver<'a> {
    rooms: &'a Rooms,
    lists: &'a RemoteLists,
    to_device: &'a ToDevice,
    acls: &'a ServerAcls,
    origin: &'a ServerName,
    attention: Attention,
    /// Messages to devices: all of them are delivered at the end.
    parcels: Vec<DirectToDevice>,
    presence_attention: Attention,
    receipts_left: usize,
    presence_left: usize,
    rooms_left: usize,
}

impl<'a> EduReceiver<'a> {
    /// For a transaction of `origin`.
    pub fn new(
        rooms: &'a Rooms,
        lists: &'a RemoteLists,
        to_device: &'a ToDevice,
        acls: &'a ServerAcls,
        origin: &'a ServerName,
    ) -> Self {
        Self {
            rooms,
            lists,
            to_device,
            acls,
            origin,
            attention: Attention::default(),
            parcels: Vec::new(),
            presence_attention: Attention::default(),
            receipts_left: MAX_RECEIPTS,
            presence_left: MAX_PRESENCE,
            rooms_left: MAX_ROOMS,
        }
    }

    /// Takes messages in, in the order in which they came. Done when what must not get lost is
    /// durable.
    ///
    /// # Errors
    /// Messages to devices or changes of device lists can't be written down: the other server must
    /// send them again.
    pub async fn receive(mut self, edus: Vec<Raw<Edu>>) -> Result<(), StoreError> {
        for edu in edus {
            let outcome = match self.receive_one(edu.json()).await {
                Ok(true) => "taken",
                Ok(false) => "ignored",
                Err(EduError::DeviceList(RemoteError::Store(error))) => return Err(error),
                Err(error) => {
                    tracing::warn!(origin = %self.origin, %error, "an ephemeral message is lost");
                    "lost"
                }
            };
            counter!("matryx_federation_edus_received_total", "outcome" => outcome).increment(1);
        }
        let parcels = std::mem::take(&mut self.parcels);
        if !parcels.is_empty() {
            self.to_device.receive(self.origin, parcels).await?;
        }
        Ok(())
    }

    async fn receive_one(&mut self, edu: &RawValue) -> Result<bool, EduError> {
        let bytes = edu.get().len();
        if bytes > MAX_TO_DEVICE_BYTES {
            return Ok(false);
        }
        let Ok(Envelope { edu_type, content }) = serde_json::from_str(edu.get()) else {
            return Ok(false);
        };
        if bytes > MAX_BYTES && edu_type != "m.direct_to_device" {
            return Ok(false);
        }
        let (lists, origin) = (self.lists, self.origin);
        match edu_type.as_str() {
            "m.typing" => Ok(self.typing(&content).await?),
            "m.receipt" => Ok(self.receipts(&content).await?),
            "m.direct_to_device" => {
                let parcel = to_device::read(origin, &content);
                let is_one = parcel.is_some();
                self.parcels.extend(parcel);
                Ok(is_one)
            }
            "m.presence" => Ok(self.presence(&content).await?),
            "m.device_list_update" => {
                let update = lists.receive_device_update(origin, &content, &mut self.attention);
                Ok(update.await?)
            }
            "m.signing_key_update" => {
                let update = lists.receive_signing_update(origin, &content, &mut self.attention);
                Ok(update.await?)
            }
            _ => Ok(false),
        }
    }

    async fn typing(&mut self, content: &RawValue) -> Result<bool, RoomError> {
        let Ok(typing) = serde_json::from_str::<TypingContent>(content.get()) else {
            return Ok(false);
        };
        let Some(room) = self.room(&typing.room_id).await? else {
            return Ok(false);
        };
        if !self.is_theirs(&room, &typing.user_id) {
            return Ok(false);
        }
        self.rooms
            .receive_typing(&room, &typing.user_id, typing.typing);
        Ok(true)
    }

    async fn presence(&mut self, content: &RawValue) -> Result<bool, RemoteError> {
        let Ok(Pushed { push }) = serde_json::from_str(content.get()) else {
            return Ok(false);
        };
        let mut any = false;
        for update in push {
            let Some(left) = self.presence_left.checked_sub(1) else {
                break;
            };
            self.presence_left = left;
            let Ok(update) = serde_json::from_str::<PresenceUpdate>(update.get()) else {
                continue;
            };
            let known = [
                PresenceState::Online,
                PresenceState::Unavailable,
                PresenceState::Offline,
            ];
            let user = &update.user_id;
            let message = update.status_msg.filter(|it| it.len() <= MAX_STATUS);
            if !known.contains(&update.presence)
                || user.server_name() != self.origin
                || !self
                    .lists
                    .is_shared(user, &mut self.presence_attention)
                    .await?
            {
                continue;
            }
            let news = RemotePresence {
                presence: update.presence,
                status_msg: message,
                last_active_ago: Duration::from_millis(update.last_active_ago.into()),
                currently_active: update.currently_active,
            };
            self.rooms.sync().presence().receive(user, news);
            any = true;
        }
        Ok(any)
    }

    async fn receipts(&mut self, content: &RawValue) -> Result<bool, RoomError> {
        type Rooms = BTreeMap<String, Box<RawValue>>;
        let Ok(of_rooms) = serde_json::from_str::<Rooms>(content.get()) else {
            return Ok(false);
        };
        let mut any = false;
        for (room_id, receipts) in of_rooms {
            let Ok(room_id) = OwnedRoomId::try_from(room_id) else {
                continue;
            };
            let Ok(receipts) = serde_json::from_str::<RoomReceipts>(receipts.get()) else {
                continue;
            };
            let Some(room) = self.room(&room_id).await? else {
                continue;
            };
            let receipts = self.readable(&room, receipts);
            if !receipts.is_empty() {
                self.rooms
                    .receive_receipts(&room, self.origin, receipts)
                    .await?;
                any = true;
            }
        }
        Ok(any)
    }

    /// The receipts that have the right form and are of users of the origin who are in the room.
    fn readable(
        &mut self,
        room: &RoomSnapshot,
        receipts: RoomReceipts,
    ) -> Vec<(OwnedUserId, ReceiptData)> {
        let mut readable = Vec::new();
        for (user, data) in receipts.read {
            let Some(left) = self.receipts_left.checked_sub(1) else {
                break;
            };
            self.receipts_left = left;
            let user = OwnedUserId::try_from(user);
            if let (Ok(user), Ok(data)) = (user, serde_json::from_str(data.get()))
                && self.is_theirs(room, &user)
            {
                readable.push((user, data));
            }
        }
        readable
    }

    fn is_theirs(&self, room: &RoomSnapshot, user: &ruma::UserId) -> bool {
        user.server_name() == self.origin && room.is_joined(user)
    }

    /// A room that this server is in and that does not keep the origin out.
    async fn room(&mut self, room_id: &RoomId) -> Result<Option<Arc<RoomSnapshot>>, RoomError> {
        let Some(left) = self.rooms_left.checked_sub(1) else {
            return Ok(None);
        };
        self.rooms_left = left;
        match self.rooms.resident(room_id).await {
            Ok(room) => Ok(Some(room).filter(|room| self.acls.allows(room, self.origin))),
            Err(RoomError::UnknownRoom(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
