//! A room in memory that events are sent into, without a server around it.

use std::sync::{Arc, OnceLock};

use matryx_entity::{
    auth::{self, AuthError},
    build::{self, BuildError, EventSigner, EventTemplate},
    pdu::Pdu,
    position::Position,
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, SlotChange},
    room_versions,
    timeline::TimelineEvent,
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId, RoomVersionId, UInt, UserId,
    events::TimelineEventType, owned_room_id, owned_server_name,
    room_version_rules::RoomVersionRules, serde::Base64, signatures::Ed25519KeyPair,
};
use serde_json::{Value, json};

/// The key of Ruma's own examples.
const PKCS8: &str = "MFECAQEwBQYDK2VwBCIEINjozvdfbsGEt6DD+7Uf4PiJ/YvTNXV2mIPc/\
                     tA0T+6tgSEA3TPraTczVkDPTRaX4K+AfUuyx7Mzq1UafTXypnl0t2k";

pub(crate) fn key_pair() -> Ed25519KeyPair {
    let document: Base64 = Base64::parse(PKCS8).unwrap();
    Ed25519KeyPair::from_der(document.as_bytes(), "1".into()).unwrap()
}

pub(crate) fn signer() -> EventSigner {
    EventSigner::new(owned_server_name!("here.org"), key_pair())
}

/// `@name:here.org`, or the name itself where it is a whole id.
pub(crate) fn user(name: &str) -> OwnedUserId {
    let id = if name.starts_with('@') {
        name.to_owned()
    } else {
        format!("@{name}:here.org")
    };
    UserId::parse(id).unwrap()
}

pub(crate) fn template(kind: &str, state_key: Option<&str>, content: &Value) -> EventTemplate {
    EventTemplate {
        kind: TimelineEventType::from(kind),
        state_key: state_key.map(ToOwned::to_owned),
        content: EventTemplate::content_of(content).unwrap(),
        redacts: None,
    }
}

/// A room, and a clock that ticks once per event.
pub(crate) struct World {
    pub(crate) room: RoomSnapshot,
    pub(crate) rules: &'static RoomVersionRules,
    pub(crate) signer: EventSigner,
    pub(crate) ts: u32,
}

impl World {
    /// A room with its create event and nothing else; alice made it.
    pub(crate) fn created(version: &RoomVersionId, extra: &Value) -> Self {
        let signer = signer();
        let mut content = json!({ "room_version": version });
        let map = content.as_object_mut().unwrap();
        if !room_versions::rules(version)
            .unwrap()
            .authorization
            .use_room_create_sender
        {
            map.insert("creator".into(), json!(user("alice")));
        }
        map.extend(extra.as_object().unwrap().clone());
        let pdu = build::build_create(
            version,
            EventTemplate::content_of(&content).unwrap(),
            &user("alice"),
            MilliSecondsSinceUnixEpoch(UInt::from(1_u32)),
            || owned_room_id!("!room:here.org"),
            &signer,
        )
        .unwrap();
        let room_id = pdu.room_id().to_owned();
        let mut world = Self {
            room: RoomSnapshot::empty(RoomNo(1), room_id, version.clone()),
            rules: room_versions::rules(version).unwrap(),
            signer,
            ts: 1,
        };
        world.put(pdu);
        world
    }

    /// A public room in which alice has joined and has power.
    pub(crate) fn new(version: &RoomVersionId) -> Self {
        let mut world = Self::created(version, &json!({}));
        world.join("alice").unwrap();
        let power = world.power(&json!({}));
        world
            .state("alice", "m.room.power_levels", "", &power)
            .unwrap();
        world
            .state(
                "alice",
                "m.room.join_rules",
                "",
                &json!({ "join_rule": "public" }),
            )
            .unwrap();
        world
    }

    /// Power levels in which alice has all power, as the version wants it, and `extra`.
    pub(crate) fn power(&self, extra: &Value) -> Value {
        let mut content = json!({ "users": {} });
        let map = content.as_object_mut().unwrap();
        map.extend(extra.as_object().unwrap().clone());
        if !self.rules.authorization.explicitly_privilege_room_creators {
            let users = map.get_mut("users").unwrap().as_object_mut().unwrap();
            users.entry(user("alice").to_string()).or_insert(json!(100));
        }
        content
    }

    pub(crate) fn build(
        &mut self,
        sender: &str,
        template: EventTemplate,
    ) -> Result<Pdu, BuildError> {
        self.ts += 1;
        let ts = MilliSecondsSinceUnixEpoch(UInt::from(self.ts));
        build::build(template, &self.room, &user(sender), ts, &self.signer)
    }

    /// Sends an event if the rules allow it.
    pub(crate) fn send(
        &mut self,
        sender: &str,
        template: EventTemplate,
    ) -> Result<Arc<TimelineEvent>, AuthError> {
        let pdu = self.build(sender, template).unwrap();
        auth::authorize(self.rules, &pdu, &self.room)?;
        Ok(self.put(pdu))
    }

    pub(crate) fn state(
        &mut self,
        sender: &str,
        kind: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<Arc<TimelineEvent>, AuthError> {
        self.send(sender, template(kind, Some(state_key), content))
    }

    pub(crate) fn message(
        &mut self,
        sender: &str,
        body: &str,
    ) -> Result<Arc<TimelineEvent>, AuthError> {
        let content = json!({ "msgtype": "m.text", "body": body });
        self.send(sender, template("m.room.message", None, &content))
    }

    pub(crate) fn member(
        &mut self,
        sender: &str,
        target: &str,
        membership: &str,
    ) -> Result<Arc<TimelineEvent>, AuthError> {
        let content = json!({ "membership": membership });
        self.state(sender, "m.room.member", user(target).as_str(), &content)
    }

    pub(crate) fn join(&mut self, name: &str) -> Result<Arc<TimelineEvent>, AuthError> {
        self.member(name, name, "join")
    }

    /// Puts an event into the room without asking.
    pub(crate) fn force(&mut self, sender: &str, template: EventTemplate) -> Arc<TimelineEvent> {
        let pdu = self.build(sender, template).unwrap();
        self.put(pdu)
    }

    pub(crate) fn force_member(&mut self, target: &str, membership: &str) -> Arc<TimelineEvent> {
        let content = json!({ "membership": membership });
        self.force(
            target,
            template("m.room.member", Some(user(target).as_str()), &content),
        )
    }

    pub(crate) fn put(&mut self, pdu: Pdu) -> Arc<TimelineEvent> {
        let pos = self.room.head + 1;
        let event = Arc::new(TimelineEvent {
            pdu: Arc::new(pdu),
            pos,
            at: OnceLock::from(Position {
                node: 1,
                seq: u64::try_from(pos).unwrap() * 10,
            }),
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            group: pos * 2,
            head_group: None,
            replaces: None,
            delta: None,
            past: None,
            seam: None,
        });
        let changes = event
            .pdu
            .state_kind()
            .map(|kind| SlotChange {
                kind,
                state_key: event.pdu.state_key().unwrap().to_owned(),
                event: Some(Arc::clone(&event)),
            })
            .into_iter()
            .collect();
        let extremities = vec![event.pdu.event_id().to_owned()];
        self.room
            .apply(&event, extremities, changes, self.signer.server_name());
        event
    }
}
