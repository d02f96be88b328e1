//! Rooms whose events need the signature of a policy server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use ruma::{
    CanonicalJsonObject, ServerName,
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::{Ed25519KeyPair, hash_and_sign_event},
};
use serde_json::{Value, json};

use super::stranger::{Asked, Visit};
use crate::support::{Answer, encode};

const POLICY: &str = "m.room.policy";

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate();
    Ed25519KeyPair::from_der(&document, "policy_server".to_owned()).unwrap()
}

/// What a policy server answers that finds nothing wrong with an event.
fn recommendation(
    server: &ServerName,
    key: &Ed25519KeyPair,
    rules: &RoomVersionRules,
    event: &Value,
) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
    object.remove("signatures");
    hash_and_sign_event(server.as_str(), key, &mut object, &rules.redaction).unwrap();
    serde_json::to_value(&object["signatures"]).unwrap()
}

/// A room whose policy server is the stranger.
struct Scene {
    visit: Visit,
    key: Arc<Ed25519KeyPair>,
    /// Does it recommend whatever it is asked about?
    kind: Arc<AtomicBool>,
}

impl Scene {
    async fn new(version: &str) -> Self {
        let scene = Self {
            visit: Visit::new(version).await,
            key: Arc::new(key()),
            kind: Arc::default(),
        };
        scene.appoint(scene.content()).await.ok();
        let (name, rules) = (scene.visit.there.name.clone(), scene.visit.rules.clone());
        let (key, kind) = (Arc::clone(&scene.key), Arc::clone(&scene.kind));
        scene.visit.there.answer("sign", move |asked: &Asked| {
            let sign = || recommendation(&name, &key, &rules, &asked.body);
            let refusal = || json!({ "errcode": "M_FORBIDDEN", "error": "this is spam" });
            Some(if kind.load(Ordering::Relaxed) {
                sign()
            } else {
                refusal()
            })
        });
        scene
    }

    fn content(&self) -> Value {
        let public: Base64 = Base64::new(self.key.public_key().to_vec());
        json!({ "via": self.visit.there.name, "public_keys": { "ed25519": public } })
    }

    async fn appoint(&self, content: Value) -> Answer {
        let room = encode(&self.visit.room);
        let path = format!("/_matrix/client/v3/rooms/{room}/state/{POLICY}/");
        self.visit.alice.put(&path).json(&content).send().await
    }

    fn recommend(&self, whatever: bool) {
        self.kind.store(whatever, Ordering::Relaxed);
    }

    fn asked(&self) -> Vec<Asked> {
        self.visit.there.asked("sign")
    }

    /// A message of eve on top of her join.
    fn message(&self, body: &str) -> (String, Value) {
        self.visit.message(body, &[&self.visit.join], 20)
    }

    /// The event with the signature of this policy server as well.
    fn signed(&self, event: &Value, key: &Ed25519KeyPair) -> Value {
        let (name, rules) = (&self.visit.there.name, &self.visit.rules);
        let signatures = recommendation(name, key, rules, event);
        let mut signed = event.clone();
        let own = &signatures[name.as_str()]["ed25519:policy_server"];
        signed["signatures"][name.as_str()]["ed25519:policy_server"] = own.clone();
        signed
    }

    /// Sends what alice is to be told of.
    async fn deliver(&self, txn: &str, (id, event): &(String, Value)) {
        let answer = self.visit.transaction(txn, &json!([event])).await;
        assert_eq!(answer["pdus"][id], json!({}), "{answer}");
    }

    async fn bodies(&self) -> Vec<String> {
        let sync = self.visit.alice.sync(None).await;
        let events = &sync["rooms"]["join"][&self.visit.room]["timeline"]["events"];
        let events = events.as_array().unwrap().iter();
        events
            .filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned()))
            .collect()
    }

    async fn say(&self, txn: &str, body: &str) -> Answer {
        let room = encode(&self.visit.room);
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let content = json!({ "msgtype": "m.text", "body": body });
        self.visit.alice.put(&path).json(&content).send().await
    }

    /// An event as the stranger gets it.
    async fn event(&self, id: &str) -> Value {
        let path = format!("/_matrix/federation/v1/event/{}", encode(id));
        let answer = self.visit.there.get(&self.visit.here, &path).await.ok();
        answer["pdus"][0].clone()
    }

    fn signature<'a>(&self, event: &'a Value) -> &'a Value {
        &event["signatures"][self.visit.there.name.as_str()]["ed25519:policy_server"]
    }
}

#[tokio::test]
async fn what_the_policy_server_does_not_sign_is_shown_to_nobody() {
    for version in ["6", "12"] {
        let scene = Scene::new(version).await;
        let (id, event) = scene.message("brings its signature");
        let with = scene.signed(&event, &scene.key);
        scene.deliver("one", &(id, with)).await;
        assert!(scene.asked().is_empty());
        scene.deliver("two", &scene.message("spam")).await;
        let (id, event) = scene.message("forged");
        let forged = scene.signed(&event, &key());
        scene.deliver("three", &(id, forged)).await;
        assert_eq!(scene.asked().len(), 2);

        // Whatever lacks it is asked for, once, and handed on with it.
        scene.recommend(true);
        let late = scene.message("asked for");
        scene.deliver("four", &late).await;
        scene.deliver("five", &late).await;
        let asked = scene.asked();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[2].body["content"]["body"], "asked for");
        let kept = scene.event(&late.0).await;
        assert!(scene.signature(&kept).is_string(), "{kept}");
        let own = |event: &Value| {
            let mut own = event["signatures"][scene.visit.there.name.as_str()].clone();
            own.as_object_mut().unwrap().remove("ed25519:policy_server");
            own
        };
        assert_eq!(own(&kept), own(&late.1));
        assert_eq!(scene.bodies().await, ["brings its signature", "asked for"]);

        // Nobody needs to be asked about what the room refuses anyway.
        let stranger = format!("@stranger:{}", scene.visit.there.name);
        let mut other = scene.message("from outside").1;
        other["sender"] = json!(stranger);
        other.as_object_mut().unwrap().remove("signatures");
        let (_, other) = scene.visit.sign(&other);
        scene.visit.transaction("six", &json!([other])).await;
        assert_eq!(scene.asked().len(), 3);
    }
}

#[tokio::test]
async fn what_is_sent_from_here_is_signed_or_not_sent() {
    let scene = Scene::new("11").await;
    let refused = scene.say("one", "spam").await.error(400, "M_FORBIDDEN");
    assert!(refused["error"].as_str().unwrap().contains("this is spam"));
    assert!(scene.bodies().await.is_empty());
    scene.recommend(true);
    let id = scene.say("one", "hello").await.ok()["event_id"].clone();
    let id = id.as_str().unwrap();
    let event = scene.event(id).await;
    assert!(scene.signature(&event).is_string(), "{event}");
    let here = scene.visit.here.name.as_str();
    assert!(event["signatures"][here].is_object(), "{event}");
    // The client's retry is the same request.
    let again = scene.say("one", "hello").await.ok();
    assert_eq!(again["event_id"], *id);
    // Many at once stand beside each other, and all arrive.
    let txns = ["a", "b", "c", "d", "e", "f"];
    let all = txns.map(|txn| scene.say(txn, txn));
    for answer in futures_util::future::join_all(all).await {
        answer.ok();
    }
    let mut bodies = scene.bodies().await;
    bodies.sort();
    assert_eq!(bodies, ["a", "b", "c", "d", "e", "f", "hello"]);
    // State as well, and what members do.
    let room = encode(&scene.visit.room);
    let topic = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
    let content = json!({ "topic": "with a signature" });
    scene
        .visit
        .alice
        .put(&topic)
        .json(&content)
        .send()
        .await
        .ok();
    let topic = scene.visit.alice.get(&topic).send().await.ok();
    assert_eq!(topic, content);
    scene.recommend(false);
    let kick = format!("/_matrix/client/v3/rooms/{room}/kick");
    let eve = json!({ "user_id": scene.visit.eve });
    let kick = scene.visit.alice.post(&kick).json(&eve).send().await;
    kick.error(400, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_room_gets_rid_of_a_policy_server_that_is_in_its_way() {
    let scene = Scene::new("11").await;
    scene.say("one", "hello").await.error(400, "M_FORBIDDEN");
    let asked = scene.asked().len();
    scene.appoint(json!({})).await.ok();
    assert_eq!(scene.asked().len(), asked);
    scene.say("two", "free").await.ok();
    scene.deliver("one", &scene.message("me too")).await;
    assert_eq!(scene.bodies().await, ["free", "me too"]);
    // One that is not in the room has nothing to say there.
    let mut content = scene.content();
    content["via"] = json!("elsewhere.test");
    scene.appoint(content).await.ok();
    scene.say("three", "still free").await.ok();
    assert_eq!(scene.asked().len(), asked);
}

#[tokio::test]
async fn a_policy_server_that_is_gone_lets_nothing_through_and_holds_nobody_up() {
    let scene = Scene::new("11").await;
    scene
        .visit
        .there
        .answer("sign", |_| Some(json!("nonsense")));
    scene.say("one", "hello").await.error(502, "M_UNKNOWN");
    // What is no answer is not asked for again and again.
    for (nth, txn) in ["one", "two", "three"].into_iter().enumerate() {
        scene
            .deliver(txn, &scene.message(&format!("message {nth}")))
            .await;
    }
    assert_eq!(scene.asked().len(), 1);
    assert!(scene.bodies().await.is_empty());
    scene
        .visit
        .here
        .server
        .clock
        .advance(Duration::from_mins(1));
    scene.deliver("four", &scene.message("later")).await;
    assert_eq!(scene.asked().len(), 2);
    // It is not ours to play.
    let path = "/_matrix/policy/v1/sign";
    let body = json!({});
    let header = scene.visit.here.sign(
        &Method::POST,
        path,
        body.to_string().as_bytes(),
        &scene.visit.here.name,
    );
    let answer = scene.visit.here.server.post(path);
    let answer = answer.header("authorization", &header.to_string());
    answer.json(&body).send().await.error(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn a_join_comes_back_with_the_signature() {
    let scene = Scene::new("12").await;
    let (here, there) = (&scene.visit.here, &scene.visit.there);
    let frank = format!("@frank:{}", there.name);
    let (room, user) = (encode(&scene.visit.room), encode(&frank));
    let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver=12");
    let template = there.get(here, &path).await.ok();
    let (id, event) = scene.visit.sign(&template["event"]);
    let path = format!("/_matrix/federation/v2/send_join/{room}/{}", encode(&id));
    there
        .put(here, &path, &event)
        .await
        .error(403, "M_FORBIDDEN");
    scene.recommend(true);
    let template = template["event"].clone();
    let mut again = template;
    again["origin_server_ts"] = json!(5);
    let (id, event) = scene.visit.sign(&again);
    let path = format!("/_matrix/federation/v2/send_join/{room}/{}", encode(&id));
    let told = there.put(here, &path, &event).await.ok();
    assert!(scene.signature(&told["event"]).is_string(), "{told}");
}
