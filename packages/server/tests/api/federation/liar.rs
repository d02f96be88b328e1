//! Joining through a server that does not tell the truth.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, RoomVersionId, room_version_rules::RoomVersionRules,
    signatures,
};
use serde_json::{Value, json};

use super::{pair::Peer, stranger::Stranger};
use crate::support::{Answer, TestUser, encode};

const VERSION: &str = "11";

/// A public room of a stranger's user eve, as it would be told by an honest server.
struct Scene {
    here: Peer,
    there: Stranger,
    alice: TestUser,
    room: String,
    eve: String,
    /// The state: create, eve's join, power levels, join rules.
    state: Vec<Value>,
}

fn rules() -> RoomVersionRules {
    RoomVersionId::try_from(VERSION).unwrap().rules().unwrap()
}

fn sign(there: &Stranger, event: &Value) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
    let (name, key) = (there.name.as_str(), &there.key.pair);
    signatures::hash_and_sign_event(name, key, &mut object, &rules().redaction).unwrap();
    CanonicalJsonValue::from(object).into()
}

fn id_of(event: &Value) -> String {
    let object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
    let hash = signatures::reference_hash(&object, &rules()).unwrap();
    format!("${hash}")
}

impl Scene {
    async fn new() -> Self {
        let (here, there) = tokio::join!(Peer::start(), Stranger::start());
        let alice = here.server.register("alice").await;
        let mut scene = Self {
            room: format!("!den:{}", there.name),
            eve: format!("@eve:{}", there.name),
            here,
            there,
            alice,
            state: Vec::new(),
        };
        let eve = scene.eve.clone();
        scene.add("m.room.create", "", &json!({ "room_version": VERSION }));
        scene.add("m.room.member", &eve, &json!({ "membership": "join" }));
        let levels = json!({ "users": { (eve.as_str()): 100 } });
        scene.add("m.room.power_levels", "", &levels);
        scene.add("m.room.join_rules", "", &json!({ "join_rule": "public" }));
        scene
    }

    /// Another state event of eve.
    fn event(&self, kind: &str, state_key: &str, content: &Value) -> Value {
        let prev: Vec<String> = self.state.last().iter().map(|event| id_of(event)).collect();
        let auth: Vec<String> = self.state.iter().take(3).map(id_of).collect();
        sign(
            &self.there,
            &json!({
                "type": kind,
                "state_key": state_key,
                "room_id": self.room,
                "sender": self.eve,
                "content": content,
                "prev_events": prev,
                "auth_events": auth,
                "depth": self.state.len() + 1,
                "origin_server_ts": 1_700_000_000_000_u64,
            }),
        )
    }

    fn add(&mut self, kind: &str, state_key: &str, content: &Value) {
        let event = self.event(kind, state_key, content);
        self.state.push(event);
    }

    fn template(&self) -> Value {
        let auth = [&self.state[0], &self.state[2], &self.state[3]];
        json!({
            "room_version": VERSION,
            "event": {
                "type": "m.room.member",
                "room_id": self.room,
                "sender": self.alice.id,
                "state_key": self.alice.id,
                "content": { "membership": "join" },
                "prev_events": [id_of(self.state.last().unwrap())],
                "auth_events": auth.map(id_of),
                "depth": 9,
                "origin_server_ts": 1,
            },
        })
    }

    fn answer(&self, what: &str, answer: Value) {
        self.there.answer(what, move |_| Some(answer.clone()));
    }

    async fn join(&self) -> Answer {
        let path = format!("/_matrix/client/v3/join/{}", encode(&self.room));
        self.alice.post(&path).json(&json!({})).send().await
    }

    async fn state_event(&self, kind: &str) -> Answer {
        let room = encode(&self.room);
        let path = format!("/_matrix/client/v3/rooms/{room}/state/{kind}/");
        self.alice.get(&path).send().await
    }
}

#[tokio::test]
async fn only_the_event_that_was_asked_for_is_signed() {
    let scene = Scene::new().await;
    let lies = [
        ("/type", json!("m.room.power_levels")),
        ("/sender", json!(scene.eve)),
        ("/state_key", json!(scene.eve)),
        ("/room_id", json!("!elsewhere:here.test")),
        ("/content/membership", json!("invite")),
        ("/prev_events", json!([])),
        ("/prev_events", json!(vec!["$a"; 21])),
        ("/auth_events", json!(vec!["$a"; 11])),
        ("/auth_events", json!("$a")),
        ("/depth", json!(-1)),
        ("/depth", json!(1_u64 << 60)),
        ("", json!("nonsense")),
    ];
    for (place, lie) in lies {
        let mut template = scene.template();
        *template["event"].pointer_mut(place).unwrap() = lie;
        scene.answer("make_join", template.clone());
        let answer = scene.join().await;
        assert_eq!(
            answer.status,
            502,
            "{template}: {}",
            answer.error(502, "M_UNKNOWN")
        );
    }
    let mut unknown = scene.template();
    unknown["room_version"] = json!("nonsense");
    scene.answer("make_join", unknown);
    scene.join().await.error(400, "M_UNSUPPORTED_ROOM_VERSION");
    assert!(scene.there.asked("send_join").is_empty());

    // Of what else the template says nothing is signed.
    let mut more = scene.template();
    more["event"]["content"]["users"] = json!({ (scene.eve.as_str()): 100 });
    more["event"]["content"]["displayname"] = json!("evil");
    more["event"]["redacts"] = json!("$a");
    more["event"]["origin_server_ts"] = json!(5);
    scene.answer("make_join", more);
    scene.join().await.error(404, "M_NOT_FOUND");
    let signed = scene.there.asked("send_join").remove(0).body;
    let ours = json!({ "displayname": "alice", "membership": "join" });
    assert_eq!(signed["content"], ours);
    assert!(signed["redacts"].is_null());
    assert_ne!(signed["origin_server_ts"], 5);
}

#[tokio::test]
async fn what_is_forged_in_a_state_is_no_part_of_it() {
    let mut scene = Scene::new().await;
    scene.answer("make_join", scene.template());
    let chain = json!(scene.state);
    scene.add("m.room.name", "", &json!({ "name": "honest" }));
    // Not what was signed: its content is gone, and the event stays.
    let mut topic = scene.event("m.room.topic", "", &json!({ "topic": "signed" }));
    topic["content"]["topic"] = json!("forged");
    // Not signed by who it says it is of.
    let mut avatar = scene.event("m.room.avatar", "", &json!({ "url": "mxc://x/y" }));
    avatar["depth"] = json!(99);
    // By somebody who is not in the room.
    let mut mallory = scene.event("m.room.pinned_events", "", &json!({ "pinned": [] }));
    mallory["sender"] = json!(format!("@mallory:{}", scene.there.name));
    mallory.as_object_mut().unwrap().remove("signatures");
    let mallory = sign(&scene.there, &mallory);
    // Of another room.
    let mut other = scene.event("m.room.encryption", "", &json!({ "algorithm": "x" }));
    other["room_id"] = json!("!other:elsewhere.test");
    other.as_object_mut().unwrap().remove("signatures");
    let other = sign(&scene.there, &other);
    let mut state = scene.state.clone();
    state.extend([topic, avatar, mallory, other, json!("nonsense"), json!({})]);
    scene.answer("send_join", json!({ "state": state, "auth_chain": chain }));
    scene.join().await.ok();
    let name = scene.state_event("m.room.name").await.ok();
    assert_eq!(name["name"], "honest");
    assert_eq!(scene.state_event("m.room.topic").await.ok(), json!({}));
    for kind in ["m.room.avatar", "m.room.pinned_events", "m.room.encryption"] {
        scene.state_event(kind).await.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_state_that_can_not_be_is_not_entered() {
    let scene = Scene::new().await;
    scene.answer("make_join", scene.template());
    let told = |state: &[Value]| json!({ "state": state, "auth_chain": scene.state });
    let mut private = scene.state.clone();
    private.pop();
    private.push(scene.event("m.room.join_rules", "", &json!({ "join_rule": "invite" })));
    let mut twice = scene.state.clone();
    twice.push(scene.event("m.room.power_levels", "", &json!({ "users": {} })));
    let mut old = scene.state.clone();
    old[0] = scene.event("m.room.create", "", &json!({ "room_version": "10" }));
    let mut another = told(&scene.state);
    another["event"] = scene.state[1].clone();
    let mut partial = told(&scene.state);
    partial["members_omitted"] = json!(true);
    let lies = [
        told(&[]),
        told(&scene.state[1..]),
        told(&private),
        told(&twice),
        told(&old),
        another,
        partial,
        json!({ "state": 1 }),
        json!([]),
    ];
    for lie in lies {
        scene.answer("send_join", lie.clone());
        let answer = scene.join().await;
        assert_eq!(answer.status, 502, "{lie}");
        let sync = scene.alice.sync(None).await;
        assert!(sync["rooms"]["join"].is_null(), "{lie}");
    }
    // The truth is believed also after all these.
    scene.answer("send_join", told(&scene.state));
    scene.join().await.ok();
    let sync = scene.alice.sync(None).await;
    assert!(sync["rooms"]["join"][&scene.room].is_object(), "{sync}");
}

#[tokio::test]
async fn a_room_is_not_created_twice() {
    let scene = Scene::new().await;
    scene.answer("make_join", scene.template());
    let told = json!({ "state": scene.state, "auth_chain": scene.state });
    scene.answer("send_join", told);
    scene.join().await.ok();
    let mut again = scene.state[0].clone();
    again["content"]["creator"] = json!("@mallory:elsewhere.test");
    again["origin_server_ts"] = json!(9);
    again.as_object_mut().unwrap().remove("signatures");
    again["auth_events"] = json!([]);
    again["prev_events"] = json!([]);
    let again = sign(&scene.there, &again);
    let body = json!({ "origin": scene.there.name, "origin_server_ts": 1, "pdus": [again] });
    let path = "/_matrix/federation/v1/send/one";
    let answer = scene.there.put(&scene.here, path, &body).await.ok();
    let result = &answer["pdus"][id_of(&again)];
    assert!(result["error"].is_string(), "{answer}");
    let create = scene.state_event("m.room.create").await.ok();
    assert_eq!(create, scene.state[0]["content"]);
    let levels = scene.state_event("m.room.power_levels").await.ok();
    assert_eq!(levels, scene.state[2]["content"]);
}
