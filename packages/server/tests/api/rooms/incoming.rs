//! Events that servers elsewhere built: on what the room is, on what it was, and against its rules.

use std::collections::BTreeMap;

use matryx_client::sync::{SyncEngine, SyncOptions};
use matryx_entity::{
    build::{self, EventSigner, EventTemplate},
    pdu::Pdu,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    verify::{Unverified, Verified},
};
use matryx_server::room::{Judged, NotJudged};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId, RoomId, UInt,
    serde::Base64,
    server_name,
    signatures::{Ed25519KeyPair, KeyPair, PublicKeyMap},
};
use serde_json::{Value, json};

use super::{bodies, room_path};
use crate::{
    support::{TestServer, TestUser},
    sync::device_lists::{Told, changed, left, now, told},
};

/// A server that nobody runs, with a user who writes events by hand.
struct Elsewhere {
    signer: EventSigner,
    keys: PublicKeyMap,
    user: OwnedUserId,
    /// What its clock says, in milliseconds since the epoch; it counts on at every look.
    ts: u64,
}

impl Elsewhere {
    fn new() -> Self {
        let name = server_name!("elsewhere.test").to_owned();
        let der = Ed25519KeyPair::generate();
        let key = Ed25519KeyPair::from_der(&der, "1".to_owned()).unwrap();
        let public = Base64::new(key.public_key().to_vec());
        let of_server = BTreeMap::from([(key.sign(b"").id(), public)]);
        Self {
            keys: BTreeMap::from([(name.to_string(), of_server)]),
            signer: EventSigner::new(name, key),
            user: "@eve:elsewhere.test".try_into().unwrap(),
            ts: 1_900_000_000_000,
        }
    }

    /// An event on top of the room as it is in `on`.
    fn build(&mut self, on: &RoomSnapshot, template: EventTemplate) -> Pdu {
        self.ts += 1;
        let ts = MilliSecondsSinceUnixEpoch(UInt::try_from(self.ts).unwrap());
        build::build(template, on, &self.user, ts, &self.signer).unwrap()
    }

    fn state(&mut self, on: &RoomSnapshot, kind: &str, key: &str, content: Value) -> Pdu {
        let content = serde_json::from_value(content).unwrap();
        self.build(on, EventTemplate::state(kind.into(), key, content))
    }

    fn say(&mut self, on: &RoomSnapshot, body: &str) -> Pdu {
        let content = serde_json::from_value(json!({ "msgtype": "m.text", "body": body })).unwrap();
        let template = EventTemplate {
            kind: "m.room.message".into(),
            state_key: None,
            content,
            redacts: None,
        };
        self.build(on, template)
    }

    fn join(&mut self, on: &RoomSnapshot) -> Pdu {
        let user = self.user.to_string();
        self.state(on, "m.room.member", &user, json!({ "membership": "join" }))
    }

    fn verified(&self, pdu: &Pdu, on: &RoomSnapshot) -> Verified {
        let event = Unverified::parse(pdu.json(), &on.version).unwrap();
        assert_eq!(event.event_id(), pdu.event_id());
        event.verify(&self.keys).unwrap()
    }
}

/// A room of a server here, with alice as its creator and eve of elsewhere in it.
struct Scene {
    server: TestServer,
    alice: TestUser,
    room: String,
    eve: Elsewhere,
}

impl Scene {
    async fn new(version: &str) -> Self {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let body = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(body).await;
        let mut scene = Self {
            server,
            alice,
            room,
            eve: Elsewhere::new(),
        };
        let now = scene.now().await;
        let join = scene.eve.join(&now);
        scene.accepted(&join).await;
        scene
    }

    async fn now(&self) -> RoomSnapshot {
        let room = RoomId::parse(&self.room).unwrap();
        (*self.server.app.rooms.snapshot(&room).await.unwrap()).clone()
    }

    async fn receive(&self, pdu: &Pdu) -> Result<Judged, NotJudged> {
        let now = self.now().await;
        let event = self.eve.verified(pdu, &now);
        self.server.app.rooms.receive(now.no, event, None).await
    }

    async fn accepted(&self, pdu: &Pdu) {
        let judged = self.receive(pdu).await.unwrap();
        assert!(matches!(judged, Judged::Accepted), "{judged:?}");
    }

    async fn put_state(&self, kind: &str, key: &str, content: &Value) -> String {
        let path = room_path(&self.room, &format!("state/{kind}/{key}"));
        let answer = self.alice.put(&path).json(content).send().await.ok();
        answer["event_id"].as_str().unwrap().to_owned()
    }

    async fn state(&self, kind: &str) -> Value {
        let path = room_path(&self.room, &format!("state/{kind}"));
        self.alice.get(&path).send().await.json()
    }

    /// The room as the database has it says the same as the one in memory.
    async fn same_after_restart(&self) {
        let now = self.now().await;
        let read = read_again(&self.server, now.no).await;
        let ids = |room: &RoomSnapshot| {
            let events = room.state();
            let mut ids: Vec<_> = events
                .map(|event| event.pdu.event_id().to_owned())
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&read), ids(&now));
        assert_eq!(read.head, now.head);
        assert_eq!(read.group, now.group);
        assert_eq!(read.extremities, now.extremities);
        assert_eq!(read.joined_count, now.joined_count);
    }
}

/// A room without what the caches know of it.
async fn read_again(server: &TestServer, no: RoomNo) -> RoomSnapshot {
    let app = &server.app;
    let options = SyncOptions::new(app.federation.server_name().to_owned());
    let engine = SyncEngine::open(app.store.clone(), options, app.clock.clone());
    let room = engine.await.unwrap().room(no).await.unwrap();
    (*room.unwrap()).clone()
}

async fn timeline(user: &TestUser, room: &str) -> Vec<String> {
    let path = room_path(room, "messages");
    let page = user.get(&path).query("dir", "f").query("limit", "100");
    bodies(&page.send().await.ok()["chunk"])
}

#[tokio::test]
async fn what_stands_on_the_newest_state_is_part_of_the_room() {
    for version in ["6", "10", "11", "12"] {
        let mut scene = Scene::new(version).await;
        let before = scene.alice.sync(None).await;
        let now = scene.now().await;
        let hello = scene.eve.say(&now, "hello");
        scene.accepted(&hello).await;
        assert!(matches!(
            scene.receive(&hello).await.unwrap(),
            Judged::Known
        ));
        let sync = scene.alice.sync(before["next_batch"].as_str()).await;
        let room = &sync["rooms"]["join"][&scene.room];
        let events = &room["timeline"]["events"];
        assert_eq!(events[0]["event_id"], hello.event_id().as_str(), "{sync}");
        assert_eq!(events[0]["sender"], "@eve:elsewhere.test");
        scene.same_after_restart().await;
    }
}

#[tokio::test]
async fn a_fork_is_merged_by_the_next_event() {
    let mut scene = Scene::new("12").await;
    let fork = scene.now().await;
    let (left, right) = (scene.eve.say(&fork, "left"), scene.eve.say(&fork, "right"));
    scene.accepted(&left).await;
    scene.accepted(&right).await;
    let forked = scene.now().await;
    assert_eq!(forked.extremities.len(), 2);
    scene.same_after_restart().await;

    let merge = scene.alice.say(&scene.room, "both").await;
    let merged = scene.now().await;
    assert_eq!(merged.extremities, [merge.as_str()]);
    let newest = merged.recent.back().unwrap();
    let mut prev = newest.pdu.prev_events().to_vec();
    prev.sort();
    let mut both = vec![left.event_id().to_owned(), right.event_id().to_owned()];
    both.sort();
    assert_eq!(prev, both);
    scene.same_after_restart().await;
    let seen = timeline(&scene.alice, &scene.room).await;
    assert_eq!(seen, ["left", "right", "both"]);
}

#[tokio::test]
async fn states_that_differ_are_resolved_and_clients_are_told() {
    for (version, clock, winner) in [
        ("10", 1_900_000_000_000, "eve's"),
        ("12", 1_900_000_000_000, "eve's"),
        ("10", 1_000, "alice's"),
        ("12", 1_000, "alice's"),
    ] {
        let mut scene = Scene::new(version).await;
        scene.eve.ts = clock;
        let mut power = scene.state("m.room.power_levels").await;
        power["users"]["@eve:elsewhere.test"] = json!(50);
        scene.put_state("m.room.power_levels", "", &power).await;
        let fork = scene.now().await;
        let topic = |text: &str| json!({ "topic": text });
        let hers = scene.eve.state(&fork, "m.room.topic", "", topic("eve's"));
        scene.put_state("m.room.topic", "", &topic("alice's")).await;
        let before = scene.alice.sync(None).await;
        scene.accepted(&hers).await;
        // Both may set it: what is later by the clocks of their servers holds.
        let held = scene.state("m.room.topic").await;
        assert_eq!(held["topic"], winner);
        scene.same_after_restart().await;
        let sync = scene.alice.sync(before["next_batch"].as_str()).await;
        let room = &sync["rooms"]["join"][&scene.room];
        assert!(room.to_string().contains("eve's"), "{sync}");
        // On top of both, one state again.
        scene.alice.say(&scene.room, "on top").await;
        scene.same_after_restart().await;
        assert_eq!(scene.state("m.room.topic").await, held);
    }
}

#[tokio::test]
async fn whom_a_resolution_puts_out_shares_nothing_any_more() {
    for version in ["10", "12"] {
        let mut scene = Scene::new(version).await;
        let mut power = scene.state("m.room.power_levels").await;
        power["users"]["@eve:elsewhere.test"] = json!(50);
        scene.put_state("m.room.power_levels", "", &power).await;
        let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        scene.put_state("m.room.encryption", "", &content).await;
        let alone = now(&scene.alice).await;
        let fork = scene.now().await;
        let carol = scene.server.register("carol").await;
        carol.join(&scene.room).await;
        let (news, together) = told(&scene.alice, &alone).await;
        assert_eq!(news, changed(&[&carol]));
        let by_carol = now(&carol).await;
        // Where eve stood nobody had come in, and from there on nobody may.
        let closed = json!({ "join_rule": "invite" });
        let closed = scene.eve.state(&fork, "m.room.join_rules", "", closed);
        scene.accepted(&closed).await;
        assert!(
            !scene
                .now()
                .await
                .local_joined
                .iter()
                .any(|user| *user == carol.id)
        );
        assert_eq!(told(&scene.alice, &together).await.0, left(&[&carol]));
        let (news, _) = told(&carol, &by_carol).await;
        let others = Told::default().and_left(["@eve:elsewhere.test", &scene.alice.id]);
        assert_eq!(news, others);
    }
}

#[tokio::test]
async fn a_ban_that_she_did_not_see_is_not_undone() {
    let mut scene = Scene::new("11").await;
    let before_ban = scene.now().await;
    let late = scene.eve.say(&before_ban, "you cannot ban me");
    let renamed = json!({ "membership": "join", "displayname": "Eve" });
    let user = scene.eve.user.to_string();
    let rejoin = scene
        .eve
        .state(&before_ban, "m.room.member", &user, renamed);
    let path = room_path(&scene.room, "ban");
    let ban = scene.alice.post(&path).json(&json!({ "user_id": user }));
    ban.send().await.ok();

    for event in [&late, &rejoin] {
        let judged = scene.receive(event).await.unwrap();
        assert!(matches!(judged, Judged::SoftFailed(_)), "{judged:?}");
    }
    let now = scene.now().await;
    assert_eq!(now.membership(&scene.eve.user).as_str(), "ban");
    let seen = timeline(&scene.alice, &scene.room).await;
    assert_eq!(seen, Vec::<String>::new());
    scene.same_after_restart().await;

    // What stands on the ban itself is refused outright.
    let after = scene.now().await;
    let louder = scene.eve.say(&after, "still here");
    let judged = scene.receive(&louder).await.unwrap();
    assert!(matches!(judged, Judged::Rejected(_)), "{judged:?}");
    assert_eq!(scene.now().await.extremities, after.extremities);
    scene.alice.say(&scene.room, "quiet").await;
    assert_eq!(timeline(&scene.alice, &scene.room).await, ["quiet"]);
    scene.same_after_restart().await;
}

#[tokio::test]
async fn what_stands_on_a_rejected_event_stands_on_what_was_before_it() {
    let mut scene = Scene::new("11").await;
    let now = scene.now().await;
    let grab = json!({ "users": { "@eve:elsewhere.test": 100 } });
    let grab = scene.eve.state(&now, "m.room.power_levels", "", grab);
    let judged = scene.receive(&grab).await.unwrap();
    assert!(matches!(judged, Judged::Rejected(_)), "{judged:?}");
    let power = scene.state("m.room.power_levels").await;

    let mut fooled = now.clone();
    fooled.extremities = vec![grab.event_id().to_owned()];
    let after = scene.eve.say(&fooled, "after the coup");
    scene.accepted(&after).await;
    assert_eq!(scene.state("m.room.power_levels").await, power);
    scene.same_after_restart().await;
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let mut scene = Scene::new("11").await;
    let now = scene.now().await;
    let first = scene.eve.say(&now, "first");
    let mut ahead = now.clone();
    ahead.extremities = vec![first.event_id().to_owned()];
    let second = scene.eve.say(&ahead, "second");
    let Err(NotJudged::PrevEvents(missing)) = scene.receive(&second).await else {
        panic!("the first event is unknown");
    };
    assert_eq!(missing, [first.event_id()]);
    scene.accepted(&first).await;
    scene.accepted(&second).await;
    assert_eq!(
        timeline(&scene.alice, &scene.room).await,
        ["first", "second"]
    );
}
