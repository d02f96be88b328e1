//! Users of another server enter, speak in and leave a room of this one.

use http::Method;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, RoomVersionId,
    api::federation::authentication::XMatrix, room_version_rules::RoomVersionRules, signatures,
};
use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::{Answer, TestUser, encode};

/// A room of one server, and another server whose user eve comes to it.
pub(super) struct Scene {
    pub(super) here: Peer,
    pub(super) there: Peer,
    pub(super) alice: TestUser,
    pub(super) room: String,
    pub(super) eve: String,
    rules: RoomVersionRules,
}

impl Scene {
    pub(super) async fn new(body: Value) -> Self {
        let (here, there) = tokio::join!(
            Peer::start(),
            Peer::start_at("localhost", |builder| builder)
        );
        let alice = here.server.register("alice").await;
        let version = RoomVersionId::try_from(body["room_version"].as_str().unwrap()).unwrap();
        let room = alice.create_room(body).await;
        Self {
            eve: format!("@eve:{}", there.name),
            rules: version.rules().unwrap(),
            here,
            there,
            alice,
            room,
        }
    }

    pub(super) fn header(&self, method: &Method, path: &str, body: &[u8]) -> XMatrix {
        self.there.sign(method, path, body, &self.here.name)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        let header = self.header(&Method::GET, path, b"");
        self.here.get_as(path, &header).send().await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Answer {
        let header = self.header(&Method::PUT, path, body.to_string().as_bytes());
        let request = self.here.server.put(path);
        let request = request.header("authorization", &header.to_string());
        request.json(body).send().await
    }

    pub(super) async fn make(&self, what: &str, user: &str) -> Answer {
        let (room, user) = (encode(&self.room), encode(user));
        let versions = if what == "make_join" {
            "?ver=6&ver=10&ver=11&ver=12"
        } else {
            ""
        };
        let path = format!("/_matrix/federation/v1/{what}/{room}/{user}{versions}");
        self.get(&path).await
    }

    /// Signs an event as the other server; its id, and its text.
    pub(super) fn sign(&self, event: &Value) -> (String, Value) {
        let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        let (name, key) = (self.there.name.as_str(), &self.there.key.pair);
        signatures::hash_and_sign_event(name, key, &mut object, &self.rules.redaction).unwrap();
        let value: CanonicalJsonValue = object.into();
        let event = value.into();
        (self.id_of(&event), event)
    }

    pub(super) async fn send(&self, what: &str, id: &str, event: &Value) -> Answer {
        let (room, id) = (encode(&self.room), encode(id));
        let path = format!("/_matrix/federation/v2/{what}/{room}/{id}");
        self.put(&path, event).await
    }

    pub(super) async fn join(&self) -> Value {
        let template = self.make("make_join", &self.eve).await.ok();
        let (id, event) = self.sign(&template["event"]);
        self.send("send_join", &id, &event).await.ok()
    }

    /// A message on top of the join `member`, by the authority of the state that was told then.
    pub(super) fn message(
        &self,
        body: &str,
        prev: &str,
        told: &Value,
        member: &str,
    ) -> (String, Value) {
        let mut auth = vec![json!(member)];
        for event in told["state"].as_array().unwrap() {
            let kind = event["type"].as_str().unwrap();
            let is_create = kind == "m.room.create"
                && !self.rules.authorization.room_create_event_id_as_room_id;
            if is_create || kind == "m.room.power_levels" {
                auth.push(json!(self.id_of(event)));
            }
        }
        self.sign(&json!({
            "type": "m.room.message",
            "room_id": self.room,
            "sender": self.eve,
            "content": { "msgtype": "m.text", "body": body },
            "prev_events": [prev],
            "auth_events": auth,
            "depth": 100,
            "origin_server_ts": 1_800_000_000_000_u64,
        }))
    }

    pub(super) fn id_of(&self, event: &Value) -> String {
        let object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
        let hash = signatures::reference_hash(&object, &self.rules).unwrap();
        format!("${hash}")
    }

    pub(super) async fn transaction(&self, id: &str, pdus: Value) -> Answer {
        let body = json!({
            "origin": self.there.name,
            "origin_server_ts": 1,
            "pdus": pdus,
        });
        let path = format!("/_matrix/federation/v1/send/{id}");
        self.put(&path, &body).await
    }
}

pub(super) fn public(version: &str) -> Value {
    json!({ "preset": "public_chat", "room_version": version })
}

#[tokio::test]
async fn a_user_of_another_server_joins_speaks_and_leaves() {
    for version in ["6", "10", "11", "12"] {
        let scene = Scene::new(public(version)).await;
        let before = scene.alice.sync(None).await;
        let template = scene.make("make_join", &scene.eve).await.ok();
        assert_eq!(template["room_version"], version);
        let (join, event) = scene.sign(&template["event"]);
        let answer = scene.send("send_join", &join, &event).await.ok();
        let kinds = |list: &str| -> Vec<String> {
            let events = answer[list].as_array().unwrap().iter();
            events
                .map(|event| event["type"].as_str().unwrap().to_owned())
                .collect()
        };
        let (state, chain) = (kinds("state"), kinds("auth_chain"));
        for kind in ["m.room.create", "m.room.member", "m.room.power_levels"] {
            assert!(state.iter().any(|known| known == kind), "{answer}");
        }
        assert!(chain.iter().any(|known| known == "m.room.power_levels"));
        assert!(!answer["state"].to_string().contains(&scene.eve));

        // Once more is no harm.
        scene.send("send_join", &join, &event).await.ok();
        let (id, hello) = scene.message("hello", &join, &answer, &join);
        let mut fake = hello.clone();
        fake["content"]["body"] = json!("forged");
        let (_, unknown) = scene.message("lost", "$nowhere", &answer, &join);
        let pdus = json!([hello, 7, { "room_id": "!other:room" }, unknown]);
        let answer = scene.transaction("one", pdus).await.ok();
        assert_eq!(answer["pdus"][&id], json!({}), "{answer}");
        // The one whose past is unknown waits for it.
        let results = answer["pdus"].as_object().unwrap();
        assert!(results.len() == 2 && results.values().all(|result| *result == json!({})));
        let again = scene.transaction("two", json!([hello])).await.ok();
        assert_eq!(again["pdus"], json!({ (id.as_str()): {} }));

        let sync = scene.alice.sync(before["next_batch"].as_str()).await;
        let events = sync["rooms"]["join"][&scene.room]["timeline"]["events"].clone();
        let events = events.as_array().unwrap();
        assert_eq!(events.len(), 2, "{sync}");
        assert_eq!(events[0]["state_key"], scene.eve);
        assert_eq!(events[1]["content"]["body"], "hello");

        let template = scene.make("make_leave", &scene.eve).await.ok();
        let (leave, event) = scene.sign(&template["event"]);
        scene.send("send_leave", &leave, &event).await.ok();
        let members = scene.alice.get(&format!(
            "/_matrix/client/v3/rooms/{}/joined_members",
            encode(&scene.room)
        ));
        let members = members.send().await.ok();
        assert_eq!(members["joined"].as_object().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn members_may_be_left_out_of_what_is_told() {
    let scene = Scene::new(public("11")).await;
    let template = scene.make("make_join", &scene.eve).await.ok();
    let (id, event) = scene.sign(&template["event"]);
    let (room, id) = (encode(&scene.room), encode(&id));
    let path = format!("/_matrix/federation/v2/send_join/{room}/{id}?omit_members=true");
    let answer = scene.put(&path, &event).await.ok();
    assert_eq!(answer["members_omitted"], true);
    assert_eq!(answer["servers_in_room"], json!([scene.here.name]));
    let state = answer["state"].as_array().unwrap();
    assert!(state.iter().all(|event| event["type"] != "m.room.member"));
}

#[tokio::test]
async fn who_may_not_come_in_stays_out() {
    let body = json!({ "preset": "private_chat", "room_version": "11" });
    let scene = Scene::new(body).await;
    let refused = scene.make("make_join", &scene.eve).await;
    refused.error(403, "M_FORBIDDEN");

    let scene = Scene::new(public("11")).await;
    let template = scene.make("make_join", &scene.eve).await.ok();
    let ban = format!("/_matrix/client/v3/rooms/{}/ban", encode(&scene.room));
    let ban = scene
        .alice
        .post(&ban)
        .json(&json!({ "user_id": scene.eve }));
    ban.send().await.ok();
    let refused = scene.make("make_join", &scene.eve).await;
    refused.error(403, "M_FORBIDDEN");
    let (id, event) = scene.sign(&template["event"]);
    let refused = scene.send("send_join", &id, &event).await;
    refused.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_join_is_held_against_its_path_and_its_sender() {
    let scene = Scene::new(public("11")).await;
    let other = format!("@mallory:{}", scene.here.name);
    scene
        .make("make_join", &other)
        .await
        .error(403, "M_FORBIDDEN");
    let room = encode(&scene.room);
    let user = encode(&scene.eve);
    let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver=1");
    let answer = scene.get(&path).await;
    let error = answer.error(400, "M_INCOMPATIBLE_ROOM_VERSION");
    assert_eq!(error["room_version"], "11");
    let nowhere = format!("/_matrix/federation/v1/make_join/!none:here/{user}?ver=11");
    scene.get(&nowhere).await.error(404, "M_NOT_FOUND");

    let template = scene.make("make_join", &scene.eve).await.ok();
    let (id, event) = scene.sign(&template["event"]);
    let answer = scene.send("send_join", "$another", &event).await;
    answer.error(400, "M_INVALID_PARAM");
    scene
        .send("send_leave", &id, &event)
        .await
        .error(400, "M_INVALID_PARAM");
    let mut unsigned = event.clone();
    unsigned["signatures"] = json!({});
    let answer = scene.send("send_join", &id, &unsigned).await;
    answer.error(400, "M_INVALID_PARAM");
    let (id, power) = scene.sign(&{
        let mut event = template["event"].clone();
        event["type"] = json!("m.room.power_levels");
        event["content"] = json!({ "users": { (scene.eve.as_str()): 100 } });
        event["state_key"] = json!("");
        event
    });
    let answer = scene.send("send_join", &id, &power).await;
    answer.error(400, "M_BAD_JSON");
    let (id, for_alice) = scene.sign(&{
        let mut event = template["event"].clone();
        event["sender"] = json!(scene.alice.id);
        event["state_key"] = json!(scene.alice.id);
        event
    });
    let answer = scene.send("send_join", &id, &for_alice).await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_room_that_keeps_the_server_out_does_so_everywhere() {
    let scene = Scene::new(public("11")).await;
    let template = scene.make("make_join", &scene.eve).await.ok();
    let (join, event) = scene.sign(&template["event"]);
    let told = scene.send("send_join", &join, &event).await.ok();
    let acl = json!({ "allow": ["*"], "deny": ["localhost"], "allow_ip_literals": true });
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.server_acl/",
        encode(&scene.room)
    );
    scene.alice.put(&path).json(&acl).send().await.ok();
    for what in ["make_join", "make_leave"] {
        let refused = scene.make(what, &scene.eve).await;
        refused.error(403, "M_FORBIDDEN");
    }
    for what in ["send_join", "send_leave"] {
        let refused = scene.send(what, &join, &event).await;
        refused.error(403, "M_FORBIDDEN");
    }
    let (room, user, id) = (encode(&scene.room), encode(&scene.eve), encode(&join));
    let knock = format!("/_matrix/federation/v1/make_knock/{room}/{user}?ver=11");
    scene.get(&knock).await.error(403, "M_FORBIDDEN");
    let invite = json!({ "room_version": "11", "event": event, "invite_room_state": [] });
    let exchange = json!({
        "type": "m.room.member",
        "room_id": scene.room,
        "sender": scene.alice.id,
        "state_key": scene.eve,
        "content": { "membership": "invite", "third_party_invite": { "signed": {} } },
    });
    for (path, body) in [
        (format!("v1/send_join/{room}/{id}"), &event),
        (format!("v1/send_leave/{room}/{id}"), &event),
        (format!("v1/send_knock/{room}/{id}"), &event),
        (format!("v2/invite/{room}/{id}"), &invite),
        (format!("v1/exchange_third_party_invite/{room}"), &exchange),
    ] {
        let answer = scene
            .put(&format!("/_matrix/federation/{path}"), body)
            .await;
        answer.error(403, "M_FORBIDDEN");
    }
    let (id, hello) = scene.message("hello", &join, &told, &join);
    let answer = scene.transaction("one", json!([hello])).await.ok();
    assert!(answer["pdus"][&id]["error"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_room_that_everybody_here_left_is_not_ours_to_open() {
    let scene = Scene::new(public("11")).await;
    let template = scene.make("make_join", &scene.eve).await.ok();
    let (id, event) = scene.sign(&template["event"]);
    let leave = format!("/_matrix/client/v3/rooms/{}/leave", encode(&scene.room));
    scene.alice.post(&leave).json(&json!({})).send().await.ok();
    for what in ["make_join", "make_leave"] {
        let gone = scene.make(what, &scene.eve).await;
        gone.error(404, "M_NOT_FOUND");
    }
    let gone = scene.send("send_join", &id, &event).await;
    gone.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_restricted_room_signs_for_whom_it_lets_in() {
    for version in ["10", "12"] {
        let scene = Scene::new(public(version)).await;
        scene.join().await;
        let inner = scene
            .alice
            .create_room(json!({
                "room_version": version,
                "preset": "private_chat",
                "initial_state": [{
                    "type": "m.room.join_rules",
                    "state_key": "",
                    "content": {
                        "join_rule": "restricted",
                        "allow": [{ "type": "m.room_membership", "room_id": scene.room }],
                    },
                }],
            }))
            .await;
        let scene = Scene {
            room: inner,
            ..scene
        };
        let template = scene.make("make_join", &scene.eve).await.ok();
        let authority = &template["event"]["content"]["join_authorised_via_users_server"];
        assert_eq!(*authority, scene.alice.id);
        let (id, event) = scene.sign(&template["event"]);
        let answer = scene.send("send_join", &id, &event).await.ok();
        let signed = &answer["event"]["signatures"];
        assert!(signed[scene.here.name.as_str()].is_object(), "{answer}");
        assert!(signed[scene.there.name.as_str()].is_object(), "{answer}");

        // Nobody signs for a stranger.
        let stranger = format!("@mallory:{}", scene.there.name);
        let refused = scene.make("make_join", &stranger).await;
        refused.error(403, "M_FORBIDDEN");
        let mut forged = template["event"].clone();
        forged["sender"] = json!(stranger);
        forged["state_key"] = json!(stranger);
        let (id, forged) = scene.sign(&forged);
        let answer = scene.send("send_join", &id, &forged).await;
        assert_eq!(answer.status, 403);
    }
}
