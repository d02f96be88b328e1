//! What users do in the world.

use matryx_client::sync::Attachment;
use matryx_entity::{
    account_data::AccountData, clock::Clock as _, fallback_key::FallbackKey, log::LogEntry,
    member::Member, one_time_key::OneTimeKey, position::Position, receipt::Receipt,
    room_no::RoomNo, stored::Stored as _, to_device::ToDeviceMessage,
};
use matryx_surrealdb::Plan;
use ruma::{OwnedRoomId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{Draft, World};

impl World {
    pub(crate) async fn say(&mut self, room: RoomNo, sender: &UserId, body: &str) -> String {
        let content = json!({"msgtype": "m.text", "body": body});
        self.add(room, Draft::new(sender, "m.room.message", content))
            .await
    }

    pub(crate) async fn set(
        &mut self,
        room: RoomNo,
        sender: &UserId,
        kind: &str,
        content: Value,
    ) -> String {
        self.add(room, Draft::state(sender, kind, "", content))
            .await
    }

    pub(crate) async fn membership(
        &mut self,
        room: RoomNo,
        sender: &UserId,
        target: &UserId,
        membership: MembershipState,
    ) -> String {
        let content = json!({"membership": membership});
        let draft = Draft::state(sender, "m.room.member", target.as_str(), content);
        self.add(room, draft).await
    }

    pub(crate) async fn join(&mut self, room: RoomNo, user: &UserId) -> String {
        self.membership(room, user, user, MembershipState::Join)
            .await
    }

    pub(crate) async fn leave(&mut self, room: RoomNo, user: &UserId) -> String {
        self.membership(room, user, user, MembershipState::Leave)
            .await
    }

    pub(crate) async fn set_account_data(
        &self,
        user: &UserId,
        room: Option<OwnedRoomId>,
        kind: &str,
        content: Value,
    ) {
        let data = AccountData {
            user: user.to_owned(),
            room: room.clone(),
            kind: kind.to_owned(),
            content: content.to_string(),
            at: Position::default(),
        };
        let entry = LogEntry::AccountData {
            user: user.to_owned(),
            room,
            kind: kind.to_owned(),
        };
        let mut plan = Plan::new();
        let at = if self.attach {
            let attachment = Attachment::AccountData(Arc::new(data.clone()));
            plan.log_with(entry, Arc::new(attachment))
        } else {
            plan.log(entry)
        };
        plan.put_stamped(&data, at);
        self.store.commit(plan).await.unwrap();
    }

    pub(crate) async fn read(
        &self,
        room: RoomNo,
        user: &UserId,
        kind: &str,
        thread: Option<&str>,
        event_id: &str,
    ) {
        let written = &self.rooms[&room];
        let event = written
            .events
            .iter()
            .find(|event| event.pdu.event_id() == event_id);
        let receipt = Receipt {
            room,
            user: user.to_owned(),
            kind: kind.into(),
            thread: thread.map(ToOwned::to_owned),
            event_id: event_id.try_into().unwrap(),
            pos: event.unwrap().pos,
            ts: self.clock.now(),
            at: Position::default(),
        };
        let entry = LogEntry::Receipt {
            room,
            user: user.to_owned(),
            kind: kind.to_owned(),
            thread: receipt.thread.clone(),
        };
        let mut plan = Plan::new();
        let at = if self.attach {
            let attachment = Attachment::Receipt(Arc::new(receipt.clone()));
            plan.log_with(entry, Arc::new(attachment))
        } else {
            plan.log(entry)
        };
        plan.put_stamped(&receipt, at);
        self.store.commit(plan).await.unwrap();
    }

    /// Writes a membership record without an event.
    pub(crate) async fn put_member(&self, member: &Member) {
        let entry = LogEntry::Member {
            user: member.user.clone(),
            room: member.room,
        };
        let mut plan = Plan::new();
        let at = if self.attach {
            let attachment = Attachment::Member(Arc::new(member.clone()));
            plan.log_with(entry, Arc::new(attachment))
        } else {
            plan.log(entry)
        };
        plan.put_stamped(member, at);
        self.store.commit(plan).await.unwrap();
    }

    /// Sends a message to devices of a user, in one commit.
    pub(crate) async fn send_to_device(&self, user: &UserId, devices: &[&str], text: &str) {
        let messages: Arc<[_]> = devices
            .iter()
            .map(|device| {
                Arc::new(ToDeviceMessage {
                    user: user.to_owned(),
                    device_id: (*device).into(),
                    at: Position::default(),
                    sender: super::user("sender"),
                    kind: "m.test".to_owned(),
                    content: json!({ "text": text }).to_string(),
                })
            })
            .collect();
        let entry = LogEntry::ToDevice {
            user: user.to_owned(),
            devices: messages.iter().map(|it| it.device_id.clone()).collect(),
        };
        let mut plan = Plan::new();
        let at = if self.attach {
            let attachment = Attachment::ToDevice(Arc::clone(&messages));
            plan.log_with(entry, Arc::new(attachment))
        } else {
            plan.log(entry)
        };
        for message in &*messages {
            plan.create_at(&**message, at);
        }
        self.store.commit(plan).await.unwrap();
    }

    /// Gives a device a one-time key, or takes one away.
    pub(crate) async fn set_one_time_key(
        &self,
        user: &UserId,
        device: &str,
        id: &str,
        is_there: bool,
    ) {
        let key = OneTimeKey {
            user: user.to_owned(),
            device_id: device.into(),
            algorithm: "signed_curve25519".to_owned(),
            key_id: id.to_owned(),
            no: 1,
            json: "{}".to_owned(),
        };
        let mut plan = Plan::new();
        if is_there {
            plan.put(&key);
        } else {
            plan.delete::<OneTimeKey>(&key.key());
        }
        self.log_keys(plan, user, device).await;
    }

    /// Gives a device a fallback key, used or not.
    pub(crate) async fn set_fallback_key(&self, user: &UserId, device: &str, is_used: bool) {
        let key = FallbackKey {
            user: user.to_owned(),
            device_id: device.into(),
            algorithm: "signed_curve25519".to_owned(),
            key_id: "F".to_owned(),
            json: "{}".to_owned(),
            used: is_used,
        };
        let mut plan = Plan::new();
        plan.put(&key);
        self.log_keys(plan, user, device).await;
    }

    async fn log_keys(&self, mut plan: Plan, user: &UserId, device: &str) {
        plan.log(LogEntry::OneTimeKeys {
            user: user.to_owned(),
            device: device.into(),
        });
        self.store.commit(plan).await.unwrap();
    }
}
