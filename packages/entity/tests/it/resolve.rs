use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use matryx_entity::{
    auth,
    pdu::Pdu,
    resolve::{ResolveError, StateSet, resolve},
    room_versions::{self, SUPPORTED},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use ruma::{
    EventId, OwnedEventId, RoomId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::auth_types_for_event,
};
use serde_json::{Value, json, value::to_raw_value};

use crate::world::user;

mod fixtures;

/// An event before it is known what it rests on.
#[derive(Clone, Debug)]
struct Plan {
    id: OwnedEventId,
    prev: Vec<OwnedEventId>,
    sender: String,
    kind: String,
    state_key: String,
    content: Value,
    ts: u32,
}

/// One server's view of a room: every event that it has, and the state after each.
struct Server {
    rules: &'static RoomVersionRules,
    room_id: String,
    events: HashMap<OwnedEventId, Arc<Pdu>>,
    after: HashMap<OwnedEventId, StateSet>,
}

impl Server {
    fn new(version: &RoomVersionId) -> Self {
        let rules = room_versions::rules(version).unwrap();
        let room_id = if rules.authorization.room_create_event_id_as_room_id {
            "!create".to_owned()
        } else {
            "!room:here.org".to_owned()
        };
        Self {
            rules,
            room_id,
            events: HashMap::new(),
            after: HashMap::new(),
        }
    }

    fn merged(&self, tips: &[OwnedEventId]) -> StateSet {
        let states: Vec<_> = tips.iter().map(|tip| self.after[tip].clone()).collect();
        resolve(self.rules, &states, |id| self.events.get(id).cloned()).unwrap()
    }

    /// Takes an event in if it is allowed where it stands.
    fn receive(&mut self, plan: &Plan) -> bool {
        let before = self.merged(&plan.prev);
        let pdu = self.pdu(plan, &before);
        let known = |id: &EventId| self.events.get(id).cloned();
        let state = |kind: &StateEventType, key: &str| {
            before
                .get(&(kind.clone(), key.to_owned()))
                .and_then(|id| self.events.get(id).cloned())
        };
        let allowed = auth::check_auth_events(self.rules, &pdu, known).is_ok()
            && auth::check_state(self.rules, &pdu, state).is_ok();
        if !allowed {
            return false;
        }
        let mut after = before;
        after.insert(
            (plan.kind.as_str().into(), plan.state_key.clone()),
            plan.id.clone(),
        );
        self.after.insert(plan.id.clone(), after);
        self.events.insert(plan.id.clone(), Arc::new(pdu));
        true
    }

    fn pdu(&self, plan: &Plan, before: &StateSet) -> Pdu {
        let content = to_raw_value(&plan.content).unwrap();
        let slots = auth_types_for_event(
            &TimelineEventType::from(plan.kind.as_str()),
            &user(&plan.sender),
            Some(&plan.state_key),
            &content,
            &self.rules.authorization,
        )
        .unwrap();
        let auth_events: Vec<_> = slots.iter().filter_map(|slot| before.get(slot)).collect();
        let mut json = json!({
            "auth_events": auth_events, "content": plan.content, "depth": 1,
            "origin_server_ts": plan.ts, "prev_events": plan.prev, "room_id": self.room_id,
            "sender": user(&plan.sender), "state_key": plan.state_key, "type": plan.kind,
        });
        if plan.kind == "m.room.create" && self.room_id == "!create" {
            json.as_object_mut().unwrap().remove("room_id");
        }
        let room_id = <&RoomId>::try_from(self.room_id.as_str()).unwrap();
        Pdu::parse(plan.id.clone(), room_id, json.to_string(), false).unwrap()
    }
}

fn id(name: &str) -> OwnedEventId {
    EventId::parse(format!("${name}")).unwrap()
}

fn plan(
    name: &str,
    prev: &[&str],
    sender: &str,
    kind: &str,
    state_key: &str,
    content: Value,
) -> Plan {
    Plan {
        id: id(name),
        prev: prev.iter().map(|name| id(name)).collect(),
        sender: sender.to_owned(),
        kind: kind.to_owned(),
        state_key: state_key.to_owned(),
        content,
        ts: 0,
    }
}

fn member(of: &str, membership: &str) -> (String, Value) {
    (user(of).to_string(), json!({ "membership": membership }))
}

fn power(version: &RoomVersionId, extra: &[(&str, i64)]) -> Value {
    let mut users: HashMap<String, i64> = extra
        .iter()
        .map(|(name, level)| (user(name).to_string(), *level))
        .collect();
    if *version != RoomVersionId::V12 {
        users.insert(user("alice").to_string(), 100);
    }
    json!({ "users": users })
}

/// alice made a public room; bob has 50, carol 50, dan nothing.
fn opening(version: &RoomVersionId) -> Vec<Plan> {
    let join = |name: &'static str, prev: &'static str| {
        let (key, content) = member(name, "join");
        plan(name, &[prev], name, "m.room.member", &key, content)
    };
    let create = json!({ "creator": user("alice"), "room_version": version });
    let levels = power(version, &[("bob", 50), ("carol", 50)]);
    let rule = json!({ "join_rule": "public" });
    let mut plans = vec![
        plan("create", &[], "alice", "m.room.create", "", create),
        join("alice", "create"),
        plan(
            "power",
            &["alice"],
            "alice",
            "m.room.power_levels",
            "",
            levels,
        ),
        plan("rules", &["power"], "alice", "m.room.join_rules", "", rule),
        join("bob", "rules"),
        join("carol", "bob"),
        join("dan", "carol"),
    ];
    for (ts, plan) in plans.iter_mut().enumerate() {
        plan.ts = u32::try_from(ts).unwrap();
    }
    plans
}

fn opened(version: &RoomVersionId) -> Server {
    let mut server = Server::new(version);
    for plan in opening(version) {
        assert!(server.receive(&plan), "{plan:?}");
    }
    server
}

/// What somebody tries.
#[derive(Clone, Debug)]
struct Attempt {
    who: Index,
    what: u8,
    whom: Index,
    level: i64,
    prev: Vec<Index>,
    ts: u32,
}

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dan"];

fn attempts() -> impl Strategy<Value = Attempt> {
    (
        any::<Index>(),
        0_u8..12,
        any::<Index>(),
        prop::sample::select(vec![0_i64, 10, 50, 60]),
        vec(any::<Index>(), 1..3),
        0_u32..40,
    )
        .prop_map(|(who, what, whom, level, prev, ts)| Attempt {
            who,
            what,
            whom,
            level,
            prev,
            ts: 100 + ts,
        })
}

impl Attempt {
    fn plan(&self, number: usize, version: &RoomVersionId, known: &[OwnedEventId]) -> Plan {
        let sender = *self.who.get(&PEOPLE);
        let whom = *self.whom.get(&PEOPLE);
        let (kind, state_key, content) = match self.what {
            0 | 1 => ("m.room.topic", String::new(), json!({ "topic": number })),
            2 => ("m.room.name", String::new(), json!({ "name": number })),
            3 => ("m.x", whom.to_owned(), json!({ "n": number })),
            4 | 5 => {
                let levels = power(version, &[("bob", 50), ("carol", 50), (whom, self.level)]);
                ("m.room.power_levels", String::new(), levels)
            }
            6 => {
                let rule = if self.level > 10 { "invite" } else { "public" };
                (
                    "m.room.join_rules",
                    String::new(),
                    json!({ "join_rule": rule }),
                )
            }
            7 => {
                let (key, content) = member(whom, "ban");
                ("m.room.member", key, content)
            }
            8 => {
                let (key, content) = member(whom, "leave");
                ("m.room.member", key, content)
            }
            9 => {
                let (key, content) = member(whom, "invite");
                ("m.room.member", key, content)
            }
            10 => {
                let (key, content) = member(sender, "join");
                ("m.room.member", key, content)
            }
            _ => {
                let (key, content) = member(sender, "leave");
                ("m.room.member", key, content)
            }
        };
        let mut prev: Vec<OwnedEventId> = self
            .prev
            .iter()
            .map(|index| index.get(known).clone())
            .collect();
        prev.sort();
        prev.dedup();
        Plan {
            id: id(&format!("event{number}")),
            prev,
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            state_key,
            content,
            ts: self.ts,
        }
    }
}

/// The same events, each after those that it stands on, in an order that `choices` pick.
fn reordered(plans: &[Plan], choices: &[Index]) -> Vec<Plan> {
    let mut waiting = plans.to_vec();
    let mut arrived: HashSet<OwnedEventId> = HashSet::new();
    let mut order = Vec::new();
    let mut choices = choices.iter().cycle();
    while !waiting.is_empty() {
        let ready: Vec<usize> = waiting
            .iter()
            .enumerate()
            .filter(|(_, plan)| plan.prev.iter().all(|id| arrived.contains(id)))
            .map(|(index, _)| index)
            .collect();
        let mut next = waiting.remove(*choices.next().unwrap().get(&ready));
        arrived.insert(next.id.clone());
        next.prev.reverse();
        order.push(next);
    }
    order
}

fn tips(plans: &[Plan]) -> Vec<OwnedEventId> {
    let named: HashSet<_> = plans.iter().flat_map(|plan| &plan.prev).collect();
    plans
        .iter()
        .map(|plan| &plan.id)
        .filter(|id| !named.contains(id))
        .cloned()
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_arrival_order_converges(
        version in prop::sample::select(SUPPORTED.to_vec()),
        attempts in vec(attempts(), 2..14),
        orders in vec(vec(any::<Index>(), 8), 2),
    ) {
        let mut first = Server::new(&version);
        let mut plans = opening(&version);
        for plan in &plans {
            prop_assert!(first.receive(plan));
        }
        // Forks go back to after the opening, so that the room is one that people use.
        let mut known = vec![id("dan")];
        for (number, attempt) in attempts.iter().enumerate() {
            let plan = attempt.plan(number, &version, &known);
            if first.receive(&plan) {
                known.push(plan.id.clone());
                plans.push(plan);
            }
        }
        let ends = tips(&plans);
        let state = first.merged(&ends);
        for order in orders {
            let mut other = Server::new(&version);
            for plan in reordered(&plans, &order) {
                prop_assert!(other.receive(&plan), "{:?} is refused elsewhere", plan);
            }
            for plan in &plans {
                prop_assert_eq!(&first.after[&plan.id], &other.after[&plan.id]);
            }
            let mut turned = ends.clone();
            turned.reverse();
            prop_assert_eq!(&other.merged(&turned), &state);
        }
    }
}

fn slot(kind: &str, key: &str) -> (StateEventType, String) {
    (kind.into(), key.to_owned())
}

#[test]
fn one_state_is_itself_and_none_is_empty() {
    let server = opened(&RoomVersionId::V12);
    let state = server.after[&id("dan")].clone();
    let fetch = |_: &EventId| -> Option<Arc<Pdu>> { panic!("no event is needed") };
    assert_eq!(
        resolve(server.rules, std::slice::from_ref(&state), fetch).unwrap(),
        state
    );
    assert_eq!(
        resolve(server.rules, &[state.clone(), state.clone()], fetch).unwrap(),
        state
    );
    assert!(resolve(server.rules, &[], fetch).unwrap().is_empty());
}

#[test]
fn what_a_banned_user_did_meanwhile_is_undone() {
    for version in &SUPPORTED {
        let mut server = opened(version);
        let (bob, banned) = member("bob", "ban");
        assert!(server.receive(&plan(
            "ban",
            &["dan"],
            "alice",
            "m.room.member",
            &bob,
            banned
        )));
        let topic = json!({ "topic": "mine" });
        assert!(server.receive(&plan("topic", &["dan"], "bob", "m.room.topic", "", topic)));
        let state = server.merged(&[id("ban"), id("topic")]);
        assert_eq!(
            state.get(&slot("m.room.member", &bob)),
            Some(&id("ban")),
            "{version}"
        );
        assert_eq!(state.get(&slot("m.room.topic", "")), None, "{version}");
    }
}

#[test]
fn a_demoted_user_does_not_climb_back_on_an_old_branch() {
    for version in &SUPPORTED {
        let mut server = opened(version);
        let demoted = power(version, &[("carol", 50)]);
        assert!(server.receive(&plan(
            "demotion",
            &["dan"],
            "alice",
            "m.room.power_levels",
            "",
            demoted
        )));
        // bob builds on what was before, and shares his power with dan.
        let shared = power(version, &[("bob", 50), ("carol", 50), ("dan", 50)]);
        assert!(server.receive(&plan(
            "forged",
            &["dan"],
            "bob",
            "m.room.power_levels",
            "",
            shared
        )));
        let topic = json!({ "topic": "dan's" });
        assert!(server.receive(&plan(
            "topic",
            &["forged"],
            "dan",
            "m.room.topic",
            "",
            topic
        )));
        let state = server.merged(&[id("demotion"), id("topic")]);
        assert_eq!(
            state.get(&slot("m.room.power_levels", "")),
            Some(&id("demotion")),
            "{version}"
        );
        assert_eq!(state.get(&slot("m.room.topic", "")), None, "{version}");
    }
}

#[test]
fn says_which_event_is_missing() {
    let server = opened(&RoomVersionId::V12);
    let one = server.after[&id("dan")].clone();
    let mut other = one.clone();
    other.insert(slot("m.room.topic", ""), id("unknown"));
    let error = resolve(server.rules, &[one, other], |id| {
        server.events.get(id).cloned()
    });
    assert!(
        matches!(&error, Err(ResolveError::Missing(missing)) if *missing == id("unknown")),
        "{error:?}"
    );
}
