//! Two servers that get the same events in different orders end with the same state.
//!
//! What is soft-failed depends on the order, and so does what is not merged yet: the state is
//! compared once an event refers to all branches, after which it may not depend on anything.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    auth,
    pdu::Pdu,
    resolve::{StateSet, resolve},
    room_versions,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use ruma::{
    EventId, OwnedEventId, RoomId, RoomVersionId, events::StateEventType,
    room_version_rules::RoomVersionRules, signatures,
};
use serde_json::{Value, json};

use super::{pair::Peer, stranger::Stranger};
use crate::support::{TestUser, encode};

const PEOPLE: [&str; 4] = ["eve", "mallory", "trent", "trudy"];

/// How many rooms are tried per version, and how many events there are in each.
const ROOMS: u64 = 12;
const EVENTS: usize = 14;

/// A room on the stranger's server, as it knows it.
struct Hosted {
    rules: &'static RoomVersionRules,
    version: RoomVersionId,
    id: String,
    events: HashMap<OwnedEventId, Arc<Pdu>>,
    after: HashMap<OwnedEventId, StateSet>,
    /// In the order in which they were made, as they are sent.
    sent: Vec<(OwnedEventId, Value)>,
    ts: u64,
}

impl Hosted {
    fn before(&self, prev: &[OwnedEventId]) -> StateSet {
        let states: Vec<_> = prev.iter().map(|id| self.after[id].clone()).collect();
        resolve(self.rules, &states, |id| self.events.get(id).cloned()).unwrap()
    }

    fn is_v12(&self) -> bool {
        self.rules.authorization.room_create_event_id_as_room_id
    }

    fn parse(&self, id: &EventId, event: &Value) -> Pdu {
        let room = RoomId::parse(&self.id).unwrap();
        Pdu::parse(id.to_owned(), &room, event.to_string(), false).unwrap()
    }

    /// The event, with what it stands on.
    fn template(&self, prev: &[OwnedEventId], by: &str, what: (&str, &str, &Value)) -> Value {
        let (kind, state_key, content) = what;
        let before = self.before(prev);
        let mut event = json!({
            "type": kind, "state_key": state_key, "content": content, "sender": by,
            "room_id": self.id, "prev_events": prev, "auth_events": [],
            "depth": 5 + self.sent.len(), "origin_server_ts": self.ts,
        });
        let pdu = self.parse(EventId::parse("$template").unwrap().as_ref(), &event);
        let slots = auth::auth_slots(self.rules, &pdu).unwrap();
        let is_create = |kind: &StateEventType| *kind == StateEventType::RoomCreate;
        let slots = slots
            .iter()
            .filter(|(kind, _)| !(self.is_v12() && is_create(kind)));
        let auth: Vec<_> = slots.filter_map(|slot| before.get(slot)).collect();
        event["auth_events"] = json!(auth);
        event
    }

    /// Takes an event in, if it is allowed where it stands.
    fn take(&mut self, id: &str, event: Value) -> bool {
        let id = EventId::parse(id).unwrap();
        let pdu = self.parse(&id, &event);
        let before = self.before(pdu.prev_events());
        let state = |kind: &StateEventType, key: &str| {
            let id = before.get(&(kind.clone(), key.to_owned()))?;
            self.events.get(id).cloned()
        };
        if !pdu.prev_events().is_empty() && auth::check_state(self.rules, &pdu, state).is_err() {
            return false;
        }
        let mut after = before;
        let slot = (
            pdu.state_kind().unwrap(),
            pdu.state_key().unwrap().to_owned(),
        );
        after.insert(slot, id.clone());
        self.after.insert(id.clone(), after);
        self.events.insert(id.clone(), Arc::new(pdu));
        self.sent.push((id, event));
        true
    }
}

fn sign(stranger: &Stranger, rules: &RoomVersionRules, event: &Value) -> (String, Value) {
    let mut object = serde_json::from_value(event.clone()).unwrap();
    let (name, key) = (stranger.name.as_str(), &stranger.key.pair);
    signatures::hash_and_sign_event(name, key, &mut object, &rules.redaction).unwrap();
    let hash = signatures::reference_hash(&object, rules).unwrap();
    (format!("${hash}"), serde_json::to_value(object).unwrap())
}

/// Who is who on the stranger's server.
fn user(stranger: &Stranger, name: &str) -> String {
    format!("@{name}:{}", stranger.name)
}

fn levels(stranger: &Stranger, hosted: &Hosted, extra: &[(&str, u32)]) -> Value {
    let mut users = json!({});
    for (name, level) in [("mallory", 50), ("trent", 50)].iter().chain(extra) {
        users[user(stranger, name)] = json!(level);
    }
    if !hosted.is_v12() {
        users[user(stranger, "eve")] = json!(100);
    }
    json!({ "users": users })
}

/// A public room with everybody in it.
fn open(stranger: &Stranger, version: &str, now: u64) -> Hosted {
    let version = RoomVersionId::try_from(version).unwrap();
    let rules = room_versions::rules(&version).unwrap();
    let eve = user(stranger, "eve");
    let mut hosted = Hosted {
        rules,
        id: format!("!room{now}:{}", stranger.name),
        events: HashMap::new(),
        after: HashMap::new(),
        sent: Vec::new(),
        ts: now,
        version,
    };
    let content = json!({ "room_version": hosted.version, "creator": eve });
    let mut create = hosted.template(&[], &eve, ("m.room.create", "", &content));
    if hosted.is_v12() {
        create.as_object_mut().unwrap().remove("room_id");
        create["content"].as_object_mut().unwrap().remove("creator");
    }
    let (id, create) = sign(stranger, rules, &create);
    if hosted.is_v12() {
        hosted.id = id.replace('$', "!");
    }
    assert!(hosted.take(&id, create));
    let joined = json!({ "membership": "join" });
    add(
        stranger,
        &mut hosted,
        &eve,
        ("m.room.member", &eve, &joined),
    );
    let power = levels(stranger, &hosted, &[]);
    add(
        stranger,
        &mut hosted,
        &eve,
        ("m.room.power_levels", "", &power),
    );
    let public = json!({ "join_rule": "public" });
    add(
        stranger,
        &mut hosted,
        &eve,
        ("m.room.join_rules", "", &public),
    );
    for name in &PEOPLE[1..] {
        let user = user(stranger, name);
        add(
            stranger,
            &mut hosted,
            &user,
            ("m.room.member", &user, &joined),
        );
    }
    hosted
}

/// Adds an event on top of the newest.
fn add(stranger: &Stranger, hosted: &mut Hosted, by: &str, what: (&str, &str, &Value)) {
    let newest: Vec<_> = hosted
        .sent
        .last()
        .map(|(id, _)| id.clone())
        .into_iter()
        .collect();
    hosted.ts += 1;
    let (id, event) = sign(stranger, hosted.rules, &hosted.template(&newest, by, what));
    assert!(hosted.take(&id, event), "{what:?}");
}

/// Somebody tries something somewhere.
fn attempt(stranger: &Stranger, hosted: &mut Hosted, rng: &mut StdRng, opening: usize) {
    let sender = user(stranger, PEOPLE.choose(rng).unwrap());
    let name = PEOPLE.choose(rng).unwrap();
    let whom = user(stranger, name);
    let membership = |membership: &str| json!({ "membership": membership });
    let number = hosted.sent.len();
    let (kind, key, content) = match rng.random_range(0..8) {
        0 => ("m.room.topic", "", json!({ "topic": number })),
        1 => ("m.room.name", "", json!({ "name": number })),
        2 | 3 => {
            let level = *[0, 10, 50, 60].choose(rng).unwrap();
            (
                "m.room.power_levels",
                "",
                levels(stranger, hosted, &[(name, level)]),
            )
        }
        // Not the join rules: they might put the servers out that are compared.
        4 => {
            let seen = *["shared", "joined"].choose(rng).unwrap();
            let content = json!({ "history_visibility": seen });
            ("m.room.history_visibility", "", content)
        }
        5 => ("m.room.member", whom.as_str(), membership("ban")),
        6 if *name != "eve" => ("m.room.member", whom.as_str(), membership("leave")),
        _ => ("m.room.member", sender.as_str(), membership("join")),
    };
    let known = &hosted.sent[opening - 1..];
    let count = rng.random_range(1..3);
    let mut prev: Vec<OwnedEventId> = known
        .choose_multiple(rng, count)
        .map(|(id, _)| id.clone())
        .collect();
    prev.sort_unstable();
    hosted.ts += rng.random_range(0..3);
    let template = hosted.template(&prev, &sender, (kind, key, &content));
    let (id, event) = sign(stranger, hosted.rules, &template);
    hosted.take(&id, event);
}

/// Eve, whom nobody can keep from it, refers to all that nobody referred to.
fn merge(stranger: &Stranger, hosted: &mut Hosted, opening: usize) {
    let known = &hosted.sent[opening - 1..];
    let prev: Vec<OwnedEventId> = known
        .iter()
        .map(|(id, _)| id.clone())
        .filter(|id| {
            let mut events = hosted.events.values();
            events.all(|event| !event.prev_events().contains(id))
        })
        .collect();
    let eve = user(stranger, "eve");
    let topic = json!({ "topic": "all together" });
    let template = hosted.template(&prev, &eve, ("m.room.topic", "", &topic));
    let (id, event) = sign(stranger, hosted.rules, &template);
    assert!(hosted.take(&id, event));
}

/// An order in which each event comes after those that it refers to.
fn reordered(events: &[(OwnedEventId, Value)], rng: &mut StdRng) -> Vec<Value> {
    let mut waiting = events.to_vec();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let waits = |event: &Value| {
            let mut prev = event["prev_events"].as_array().unwrap().iter();
            prev.any(|prev| waiting.iter().any(|(id, _)| prev == id.as_str()))
        };
        let ready: Vec<usize> = (0..waiting.len())
            .filter(|nth| !waits(&waiting[*nth].1))
            .collect();
        let next = *ready.choose(rng).unwrap();
        order.push(waiting.remove(next).1);
    }
    order
}

/// Lets users of other servers in, on top of the newest event.
fn let_in(stranger: &Stranger, hosted: &Hosted) {
    let (newest, _) = hosted.sent.last().unwrap();
    let (version, before) = (
        hosted.version.clone(),
        hosted.before(std::slice::from_ref(newest)),
    );
    let of: HashMap<&EventId, &Value> = hosted
        .sent
        .iter()
        .map(|(id, event)| (&**id, event))
        .collect();
    let state: Vec<Value> = before.values().map(|id| of[&**id].clone()).collect();
    let event = |user: &str| {
        let joined = json!({ "membership": "join" });
        hosted.template(
            std::slice::from_ref(newest),
            user,
            ("m.room.member", user, &joined),
        )
    };
    let templates: HashMap<String, Value> = ["localhost", "127.0.0.1"]
        .iter()
        .map(|host| ((*host).to_owned(), event(&format!("@bob:{host}:1"))))
        .collect();
    stranger.answer("make_join", move |asked| {
        let path = asked
            .target
            .split(['?', '/'])
            .nth(6)?
            .replace("%3A", ":")
            .replace("%40", "@");
        let host = if path.contains("localhost") {
            "localhost"
        } else {
            "127.0.0.1"
        };
        let mut event = templates[host].clone();
        event["sender"] = json!(path);
        event["state_key"] = json!(path);
        Some(json!({ "room_version": version, "event": event }))
    });
    let chain: Vec<Value> = hosted.sent.iter().map(|(_, event)| event.clone()).collect();
    let origin = stranger.name.clone();
    stranger.answer("send_join", move |asked| {
        Some(json!({
            "origin": origin, "state": state, "auth_chain": chain, "event": asked.body,
            "members_omitted": false,
        }))
    });
}

async fn transaction(stranger: &Stranger, peer: &Peer, id: &str, pdus: &[Value]) {
    let body = json!({ "origin": stranger.name, "origin_server_ts": 1, "pdus": pdus });
    let path = format!("/_matrix/federation/v1/send/{id}");
    let answer = stranger.put(peer, &path, &body).await.ok();
    let results = answer["pdus"].as_object().unwrap();
    assert_eq!(results.len(), pdus.len());
    assert!(
        results.values().all(|result| *result == json!({})),
        "{answer}"
    );
}

/// The ids of the state, but for the users of the servers themselves.
async fn state(user: &TestUser, stranger: &Stranger, room: &str) -> Vec<(String, String)> {
    let path = format!("/_matrix/client/v3/rooms/{}/state", encode(room));
    let state = user.get(&path).send().await.ok();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let mut state: Vec<_> = state
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                text(event, "type") + &text(event, "state_key"),
                text(event, "event_id"),
            )
        })
        .filter(|(slot, _)| !slot.contains('@') || slot.ends_with(stranger.name.as_str()))
        .collect();
    state.sort();
    state
}

/// The state before an event, as a server tells it.
async fn state_at(
    stranger: &Stranger,
    peer: &Peer,
    hosted: &Hosted,
    id: &EventId,
) -> Vec<OwnedEventId> {
    let (room, id) = (encode(&hosted.id), encode(id));
    let path = format!("/_matrix/federation/v1/state_ids/{room}?event_id={id}");
    let told = stranger.get(peer, &path).await.ok();
    let ids = told["pdu_ids"].as_array().unwrap().iter();
    let mut ids: Vec<OwnedEventId> = ids
        .map(|id| EventId::parse(id.as_str().unwrap()).unwrap())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_order_of_arrival_makes_no_difference() {
    let stranger = Stranger::start().await;
    let (one, two) = tokio::join!(
        Peer::start(),
        Peer::start_at("localhost", |builder| builder)
    );
    let bob = one.server.register("bob").await;
    let carol = two.server.register("bob").await;
    for version in ["11", "12"] {
        for seed in 0..ROOMS {
            let mut rng = StdRng::seed_from_u64(seed);
            let now = u64::from(one.server.app.clock.now().get()) + seed * 1_000;
            let mut hosted = open(&stranger, version, now);
            let opening = hosted.sent.len();
            let_in(&stranger, &hosted);
            for user in [&bob, &carol] {
                let path = format!("/_matrix/client/v3/join/{}", encode(&hosted.id));
                let join = user.post(&path).query("via", stranger.name.as_str());
                join.json(&json!({})).send().await.ok();
            }
            while hosted.sent.len() < opening + EVENTS {
                attempt(&stranger, &mut hosted, &mut rng, opening);
            }
            merge(&stranger, &mut hosted, opening);
            // What stands on the newest event of the opening is told with its state.
            let told = hosted.before(&[hosted.sent[opening - 1].0.clone()]);
            let told: Vec<_> = told.values().cloned().collect();
            stranger.answer("state_ids", move |_| {
                Some(json!({ "pdu_ids": told, "auth_chain_ids": [] }))
            });
            let events = hosted.sent[opening..].to_vec();
            for (peer, name) in [(&one, "one"), (&two, "two")] {
                let order = reordered(&events, &mut rng);
                transaction(&stranger, peer, &format!("{version}{seed}{name}"), &order).await;
            }
            let room = RoomId::parse(&hosted.id).unwrap();
            for peer in [&one, &two] {
                let app = &peer.server.app;
                let no = app.rooms.snapshot(&room).await.unwrap().no;
                let staged = async {
                    while !app.store.staged_events(no).await.unwrap().is_empty() {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::time::timeout(std::time::Duration::from_secs(20), staged)
                    .await
                    .expect("everything is judged");
            }
            let (last, _) = hosted.sent.last().unwrap();
            let before = hosted.before(hosted.events[last].prev_events());
            let mut expected: Vec<_> = before.into_values().collect();
            expected.sort();
            for peer in [&one, &two] {
                let told = state_at(&stranger, peer, &hosted, last).await;
                assert_eq!(told, expected, "version {version}, seed {seed}");
            }
            let here = state(&bob, &stranger, &hosted.id).await;
            let there = state(&carol, &stranger, &hosted.id).await;
            assert_eq!(here, there, "version {version}, seed {seed}");
            assert!(here.len() > 5);
        }
    }
}
