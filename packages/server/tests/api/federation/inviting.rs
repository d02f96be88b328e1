//! Invites of a server that may not mean well.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, RoomVersionId, room_version_rules::RoomVersionRules,
    signatures,
};
use serde_json::{Value, json};

use super::{pair::Peer, stranger::Stranger};
use crate::support::{Answer, TestUser, encode};

/// A room of a stranger's user eve, into which they invite alice.
struct Scene {
    here: Peer,
    there: Stranger,
    alice: TestUser,
    eve: String,
    version: &'static str,
    room: String,
    create: Value,
}

impl Scene {
    async fn new(version: &'static str) -> Self {
        let (here, there) = tokio::join!(Peer::start(), Stranger::start());
        let alice = here.server.register("alice").await;
        let mut scene = Self {
            eve: format!("@eve:{}", there.name),
            room: format!("!den:{}", there.name),
            create: Value::Null,
            here,
            there,
            alice,
            version,
        };
        let (room, create) = scene.make_room(1);
        (scene.room, scene.create) = (room, create);
        scene
    }

    fn rules(&self) -> RoomVersionRules {
        let version = RoomVersionId::try_from(self.version).unwrap();
        version.rules().unwrap()
    }

    /// The id of a room and its create event.
    fn make_room(&self, ts: u64) -> (String, Value) {
        let mut create = json!({
            "type": "m.room.create",
            "state_key": "",
            "sender": self.eve,
            "content": { "room_version": self.version, "creator": self.eve },
            "prev_events": [],
            "auth_events": [],
            "depth": 1,
            "origin_server_ts": ts,
        });
        let is_named_by_hash = self.rules().authorization.room_create_event_id_as_room_id;
        if !is_named_by_hash {
            create["room_id"] = json!(self.room);
        }
        let create = self.sign(&create);
        let room = if is_named_by_hash {
            self.id_of(&create).replace('$', "!")
        } else {
            self.room.clone()
        };
        (room, create)
    }

    fn sign(&self, event: &Value) -> Value {
        let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        object.remove("signatures");
        let (name, key) = (self.there.name.as_str(), &self.there.key.pair);
        signatures::hash_and_sign_event(name, key, &mut object, &self.rules().redaction).unwrap();
        CanonicalJsonValue::from(object).into()
    }

    fn id_of(&self, event: &Value) -> String {
        let object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        format!(
            "${}",
            signatures::reference_hash(&object, &self.rules()).unwrap()
        )
    }

    /// The invite of alice by eve.
    fn event(&self) -> Value {
        self.sign(&json!({
            "type": "m.room.member",
            "room_id": self.room,
            "sender": self.eve,
            "state_key": self.alice.id,
            "content": { "membership": "invite" },
            "prev_events": ["$prev"],
            "auth_events": ["$auth"],
            "depth": 5,
            "origin_server_ts": 2,
        }))
    }

    /// The invite with this change, signed.
    fn changed(&self, place: &str, value: Value) -> Value {
        let mut event = self.event();
        *event.pointer_mut(place).unwrap() = value;
        self.sign(&event)
    }

    async fn send(&self, id: &str, event: &Value, state: &Value) -> Answer {
        let path = format!(
            "/_matrix/federation/v2/invite/{}/{}",
            encode(&self.room),
            encode(id)
        );
        let body = json!({
            "room_version": self.version,
            "event": event,
            "invite_room_state": state,
        });
        self.there.put(&self.here, &path, &body).await
    }

    /// Sends an event as what it is.
    async fn invite(&self, event: &Value) -> Answer {
        let state = json!([self.create]);
        self.send(&self.id_of(event), event, &state).await
    }

    async fn invites(&self) -> Value {
        self.alice.sync(None).await["rooms"]["invite"].clone()
    }
}

#[tokio::test]
async fn an_invite_is_shown_and_signed() {
    for version in ["6", "10", "11", "12"] {
        let scene = Scene::new(version).await;
        let event = scene.event();
        let answer = scene.invite(&event).await.ok();
        let signatures = &answer["event"]["signatures"];
        for server in [&scene.here.name, &scene.there.name] {
            assert!(signatures[server.as_str()].is_object(), "{answer}");
        }
        assert_eq!(scene.id_of(&answer["event"]), scene.id_of(&event));
        let shown = scene.invites().await;
        let shown = shown[&scene.room]["invite_state"]["events"].clone();
        let kinds = shown.as_array().unwrap().iter();
        let kinds: Vec<_> = kinds.map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["m.room.create", "m.room.member"]);
        // Nothing of the events but what clients are to see.
        assert!(shown[0]["signatures"].is_null(), "{shown}");
    }
}

#[tokio::test]
async fn only_an_invite_of_one_of_ours_by_one_of_theirs_is_signed() {
    let scene = Scene::new("11").await;
    let stranger = format!("@mallory:{}", scene.here.name);
    for event in [
        scene.changed("/type", json!("m.room.power_levels")),
        scene.changed("/content/membership", json!("join")),
        scene.changed("/content/membership", json!("ban")),
        scene.changed("/content", json!({})),
        scene.changed("/sender", json!(stranger)),
        scene.changed("/sender", json!("@mallory:elsewhere.test")),
        scene.changed("/state_key", json!(scene.eve)),
        scene.changed("/state_key", json!("@bob:elsewhere.test")),
        scene.changed("/state_key", json!("alice")),
        scene.changed("/room_id", json!("!other:elsewhere.test")),
        scene.changed("/depth", json!(-1)),
        scene.changed("/prev_events", json!(vec!["$a"; 21])),
    ] {
        let answer = scene.invite(&event).await;
        assert_eq!(answer.status, 400, "{event}");
    }
    // Signed by nobody, by somebody else, or not with this content.
    let good = scene.event();
    let mut unsigned = good.clone();
    unsigned["signatures"] = json!({});
    scene.invite(&unsigned).await.error(400, "M_INVALID_PARAM");
    let mut forged = good.clone();
    forged["origin_server_ts"] = json!(3);
    scene.invite(&forged).await.error(400, "M_INVALID_PARAM");
    let mut altered = good.clone();
    altered["content"]["reason"] = json!("altered");
    scene.invite(&altered).await.error(400, "M_INVALID_PARAM");
    let another = scene.send("$another", &good, &json!([scene.create])).await;
    another.error(400, "M_INVALID_PARAM");
    let nobody = scene.changed("/state_key", json!(stranger));
    scene.invite(&nobody).await.error(404, "M_NOT_FOUND");
    assert!(scene.invites().await.is_null());
    scene.invite(&good).await.ok();
    // Once more is the same invite.
    scene.invite(&good).await.ok();
}

#[tokio::test]
async fn what_comes_with_an_invite_is_of_the_room_and_says_what_the_room_is() {
    let scene = Scene::new("12").await;
    let event = scene.event();
    let id = scene.id_of(&event);
    let (_, other) = scene.make_room(7);
    let name = scene.sign(&json!({
        "type": "m.room.name",
        "room_id": scene.room,
        "sender": scene.eve,
        "state_key": "",
        "content": { "name": "the den" },
        "prev_events": ["$prev"],
        "auth_events": [],
        "depth": 3,
        "origin_server_ts": 2,
    }));
    let mut forged = name.clone();
    forged["origin_server_ts"] = json!(3);
    let mut foreign = name.clone();
    foreign["room_id"] = json!("!other:elsewhere.test");
    let foreign = scene.sign(&foreign);
    let short = json!({
        "type": "m.room.name", "sender": scene.eve, "state_key": "", "content": { "name": "x" },
    });
    let create = &scene.create;
    for state in [
        json!([]),
        json!([name]),
        json!([other]),
        json!([create, forged]),
        json!([create, foreign]),
        json!([create, short]),
        json!([create, 7]),
        json!(vec![create; 51]),
    ] {
        let answer = scene.send(&id, &event, &state).await;
        assert_eq!(answer.status, 400, "{state}");
    }
    let missing = scene.send(&id, &event, &json!([name])).await;
    missing.error(400, "M_INVALID_PARAM");
    assert!(scene.invites().await.is_null());
    scene.send(&id, &event, &json!([create, name])).await.ok();
    let shown = scene.invites().await.to_string();
    assert!(shown.contains("the den"), "{shown}");

    // In older rooms there are servers that tell less.
    let scene = Scene::new("10").await;
    let event = scene.event();
    let id = scene.id_of(&event);
    let short = json!({
        "type": "m.room.name", "sender": scene.eve, "state_key": "", "content": { "name": "x" },
    });
    scene.send(&id, &event, &json!([short])).await.ok();
}

#[tokio::test]
async fn what_another_server_finds_wrong_with_our_invite_is_not_the_clients_fault() {
    let scene = Scene::new("11").await;
    let room = scene
        .alice
        .create_room(json!({ "preset": "private_chat" }))
        .await;
    let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room));
    let invite = || {
        scene
            .alice
            .post(&path)
            .json(&json!({ "user_id": scene.eve }))
            .send()
    };
    for (errcode, status, told) in [
        ("M_INVALID_PARAM", 502, "M_UNKNOWN"),
        ("M_MISSING_PARAM", 502, "M_UNKNOWN"),
        ("M_TOO_LARGE", 400, "M_TOO_LARGE"),
        (
            "M_UNSUPPORTED_ROOM_VERSION",
            400,
            "M_UNSUPPORTED_ROOM_VERSION",
        ),
        ("M_UNKNOWN_TOKEN", 400, "M_UNKNOWN"),
    ] {
        let error = json!({ "errcode": errcode, "error": "no" });
        scene.there.answer("invite", move |_| Some(error.clone()));
        invite().await.error(status, told);
    }
    // Too large an invite does not even leave.
    let before = scene.there.asked("invite").len();
    let body = json!({ "user_id": scene.eve, "reason": "x".repeat(65_536) });
    let answer = scene.alice.post(&path).json(&body).send().await;
    answer.error(413, "M_TOO_LARGE");
    assert_eq!(scene.there.asked("invite").len(), before);
    let members = format!("/_matrix/client/v3/rooms/{}/members", encode(&room));
    let members = scene.alice.get(&members).send().await.ok();
    assert_eq!(members["chunk"].as_array().unwrap().len(), 1);
}
