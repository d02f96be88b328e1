//! Conflicts whose outcome the specification settles, each in a file of its own: what happened after
//! the opening, the states to resolve, and the slots that they resolve to by either version.

use std::{collections::BTreeMap, fs, path::Path};

use matryx_entity::{
    resolve::{StateSet, resolve},
    room_versions::SUPPORTED,
};
use ruma::RoomVersionId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Plan, Server, id, member, opened, plan, power};
use crate::world::user;

#[derive(Deserialize)]
struct Fixture {
    about: String,
    events: Vec<Event>,
    /// Each is the opening's state with these events in their slots.
    states: Vec<Vec<String>>,
    /// By version of the algorithm: what holds a slot, written `type|key`; the others hold what
    /// they held after the opening.
    resolved: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    prev: Vec<String>,
    sender: String,
    #[serde(flatten)]
    what: What,
    ts: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum What {
    Levels {
        levels: BTreeMap<String, i64>,
    },
    Member {
        member: String,
        membership: String,
    },
    Other {
        #[serde(rename = "type")]
        kind: String,
        content: Value,
    },
}

impl Event {
    fn plan(&self, version: &RoomVersionId, nth: usize) -> Plan {
        let (kind, state_key, content) = match &self.what {
            What::Levels { levels } => {
                let levels: Vec<_> = levels.iter().map(|(who, level)| (&**who, *level)).collect();
                (
                    "m.room.power_levels",
                    String::new(),
                    power(version, &levels),
                )
            }
            What::Member {
                member: of,
                membership,
            } => {
                let (key, content) = member(of, membership);
                ("m.room.member", key, content)
            }
            What::Other { kind, content } => (kind.as_str(), String::new(), json!(content)),
        };
        let prev: Vec<&str> = self.prev.iter().map(String::as_str).collect();
        let mut plan = plan(&self.id, &prev, &self.sender, kind, &state_key, content);
        plan.ts = self.ts.unwrap_or(1000 + u32::try_from(nth).unwrap());
        plan
    }
}

impl Server {
    fn with(&self, base: &StateSet, events: &[String]) -> StateSet {
        let mut state = base.clone();
        for name in events {
            let pdu = &self.events[&id(name)];
            let slot = (
                pdu.state_kind().unwrap(),
                pdu.state_key().unwrap().to_owned(),
            );
            state.insert(slot, id(name));
        }
        state
    }
}

/// A slot of the state after the opening, changed as a fixture says.
fn expected(base: &StateSet, slots: &BTreeMap<String, Option<String>>) -> StateSet {
    let mut state = base.clone();
    for (slot, holder) in slots {
        let (kind, key) = slot.split_once('|').unwrap();
        let key = match (kind, key) {
            ("m.room.member", name) => user(name).to_string(),
            (_, key) => key.to_owned(),
        };
        let slot = (kind.into(), key);
        match holder {
            Some(holder) => drop(state.insert(slot, id(holder))),
            None => drop(state.remove(&slot)),
        }
    }
    state
}

#[test]
fn conflicts_end_as_the_specification_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resolve");
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let fixture = fs::read_to_string(&path).unwrap();
        let fixture: Fixture = serde_json::from_str(&fixture).unwrap();
        for version in &SUPPORTED {
            let algorithm = if *version == RoomVersionId::V12 {
                "2.1"
            } else {
                "2"
            };
            let mut server = opened(version);
            let base = server.after[&id("dan")].clone();
            for (nth, event) in fixture.events.iter().enumerate() {
                let plan = event.plan(version, nth);
                assert!(server.receive(&plan), "{}: {plan:?}", path.display());
            }
            let mut states: Vec<_> = fixture
                .states
                .iter()
                .map(|events| server.with(&base, events))
                .collect();
            let expected = expected(&base, &fixture.resolved[algorithm]);
            for _ in 0..states.len() {
                states.rotate_left(1);
                let resolved = resolve(server.rules, &states, |id| server.events.get(id).cloned());
                let resolved = resolved.unwrap();
                assert_eq!(
                    resolved,
                    expected,
                    "{version}, {}: {}",
                    path.display(),
                    fixture.about
                );
            }
        }
        found += 1;
    }
    assert!(found >= 8, "{found}");
}
