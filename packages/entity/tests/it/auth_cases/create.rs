//! Rules 1 and 2: the create event, and the auth events themselves.

use std::{collections::HashMap, sync::Arc};

use matryx_entity::{
    auth,
    build::EventTemplate,
    pdu::Pdu,
    room_versions::{self, SUPPORTED},
};
use ruma::{EventId, OwnedEventId, RoomVersionId, events::StateEventType};
use serde_json::{Value, json};

use super::has_creator_field;
use crate::world::{World, template, user};

/// The create event of a room, altered, without a thought for hash and signature.
fn create(version: &RoomVersionId, alter: impl FnOnce(&mut Value)) -> Pdu {
    let world = World::created(version, &json!({}));
    let event = world.room.get(&StateEventType::RoomCreate, "").unwrap();
    altered(&event.pdu, alter)
}

fn altered(pdu: &Pdu, alter: impl FnOnce(&mut Value)) -> Pdu {
    let mut json: Value = serde_json::from_str(pdu.json()).unwrap();
    alter(&mut json);
    Pdu::parse(
        pdu.event_id().to_owned(),
        pdu.room_id(),
        json.to_string(),
        false,
    )
    .unwrap()
}

fn judge_create(version: &RoomVersionId, pdu: &Pdu) -> Result<(), String> {
    let rules = room_versions::rules(version).unwrap();
    auth::check_auth_events(rules, pdu, |_| None::<Arc<Pdu>>).map_err(|error| error.reason)
}

#[test]
fn create_event_stands_alone() {
    for version in &SUPPORTED {
        judge_create(version, &create(version, |_| {})).unwrap();
        let after = create(version, |json| json["prev_events"] = json!(["$other"]));
        assert_eq!(
            judge_create(version, &after).unwrap_err(),
            "`m.room.create` event cannot have previous events"
        );
        let keyed = create(version, |json| json["state_key"] = json!("x"));
        assert_eq!(
            judge_create(version, &keyed).unwrap_err(),
            "`m.room.create` event must have an empty `state_key`"
        );
    }
}

#[test]
fn create_event_names_its_room_by_the_version() {
    for version in &SUPPORTED {
        let foreign = create(version, |json| json["room_id"] = json!("!room:there.org"));
        let reason = judge_create(version, &foreign).unwrap_err();
        if *version == RoomVersionId::V12 {
            assert_eq!(
                reason,
                "room ID is not the hash of the `m.room.create` event"
            );
            let own = create(version, |_| {});
            let elsewhere = Pdu::parse(
                own.event_id().to_owned(),
                ruma::room_id!("!other"),
                own.json().to_string(),
                false,
            )
            .unwrap();
            assert_eq!(
                judge_create(version, &elsewhere).unwrap_err(),
                "room ID is not the hash of the `m.room.create` event"
            );
        } else {
            assert_eq!(
                reason,
                "invalid `room_id` field in `m.room.create` event: server name does not match \
                 sender's server name"
            );
        }
    }
}

#[test]
fn create_event_names_its_creator_before_version_11() {
    for version in &SUPPORTED {
        let rules = room_versions::rules(version).unwrap();
        let nameless = create(version, |json| {
            json["content"].as_object_mut().unwrap().remove("creator");
        });
        let verdict = judge_create(version, &nameless);
        if has_creator_field(rules) {
            assert_eq!(
                verdict.unwrap_err(),
                "missing `creator` field in `m.room.create` event"
            );
        } else {
            verdict.unwrap();
        }
    }
}

#[test]
fn additional_creators_are_user_ids_from_version_12_on() {
    for version in &SUPPORTED {
        let with = |creators: Value| {
            create(version, |json| {
                json["content"]["additional_creators"] = creators;
            })
        };
        judge_create(version, &with(json!(["@bob:there.org"]))).unwrap();
        for creators in [
            json!("@bob:there.org"),
            json!(["bob"]),
            json!([1]),
            json!({}),
        ] {
            let verdict = judge_create(version, &with(creators));
            if *version == RoomVersionId::V12 {
                let reason = verdict.unwrap_err();
                assert!(
                    reason.starts_with("invalid `additional_creators` field"),
                    "{reason}"
                );
            } else {
                verdict.unwrap();
            }
        }
    }
}

#[test]
fn additional_creators_have_infinite_power() {
    let extra = json!({ "additional_creators": ["@bob:here.org"] });
    let mut world = World::created(&RoomVersionId::V12, &extra);
    world.join("alice").unwrap();
    world.force_member("bob", "join");
    let topic = json!({ "topic": "x" });
    world.state("bob", "m.room.topic", "", &topic).unwrap();
    world.member("bob", "alice", "leave").unwrap_err();
}

/// A room, all of its events by id, and a message of alice on top of it.
fn room_with_message(version: &RoomVersionId) -> (World, HashMap<OwnedEventId, Arc<Pdu>>, Pdu) {
    let mut world = World::new(version);
    world
        .state("alice", "m.room.topic", "", &json!({ "topic": "x" }))
        .unwrap();
    let message = world
        .build("alice", template("m.room.message", None, &json!({})))
        .unwrap();
    let known = world
        .room
        .recent
        .iter()
        .map(|event| {
            let copy = altered(&event.pdu, |_| {});
            (copy.event_id().to_owned(), Arc::new(copy))
        })
        .collect();
    (world, known, message)
}

fn judge(world: &World, known: &HashMap<OwnedEventId, Arc<Pdu>>, pdu: &Pdu) -> Result<(), String> {
    auth::check_auth_events(world.rules, pdu, |id| known.get(id).cloned())
        .map_err(|error| error.reason)
}

fn id_of(world: &World, kind: &str, state_key: &str) -> OwnedEventId {
    let event = world.room.get(&kind.into(), state_key).unwrap();
    event.pdu.event_id().to_owned()
}

#[test]
fn auth_events_are_known_and_of_this_room() {
    for version in &SUPPORTED {
        let (world, mut known, message) = room_with_message(version);
        judge(&world, &known, &message).unwrap();

        let power = id_of(&world, "m.room.power_levels", "");
        let elsewhere = altered(&known[&power], |json| {
            json["room_id"] = json!("!other:here.org");
        });
        let own = known.insert(power.clone(), Arc::new(elsewhere)).unwrap();
        assert_eq!(
            judge(&world, &known, &message).unwrap_err(),
            format!("auth event {power} not in the same room")
        );

        let rejected = Pdu::parse(power.clone(), own.room_id(), own.json().to_string(), true);
        known.insert(power.clone(), Arc::new(rejected.unwrap()));
        assert_eq!(
            judge(&world, &known, &message).unwrap_err(),
            format!("rejected auth event {power}")
        );

        known.remove(&power);
        assert_eq!(
            judge(&world, &known, &message).unwrap_err(),
            format!("failed to find auth event {power}")
        );
    }
}

#[test]
fn auth_events_are_those_that_the_selection_names() {
    for version in &SUPPORTED {
        let (world, known, message) = room_with_message(version);
        let power = id_of(&world, "m.room.power_levels", "");
        let topic = id_of(&world, "m.room.topic", "");
        let add = |id: &EventId| {
            altered(&message, |json| {
                json["auth_events"].as_array_mut().unwrap().push(json!(id));
            })
        };
        let reason = judge(&world, &known, &add(&power)).unwrap_err();
        assert!(reason.starts_with("duplicate auth event"), "{reason}");
        let reason = judge(&world, &known, &add(&topic)).unwrap_err();
        assert!(reason.starts_with("unexpected auth event"), "{reason}");
    }
}

#[test]
fn the_create_event_is_an_auth_event_before_version_12_and_known_after() {
    for version in &SUPPORTED {
        let (world, mut known, message) = room_with_message(version);
        let create = id_of(&world, "m.room.create", "");
        if *version == RoomVersionId::V12 {
            assert!(!message.auth_events().contains(&create));
            let with_create = altered(&message, |json| {
                json["auth_events"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!(create));
            });
            judge(&world, &known, &with_create).unwrap_err();
            known.remove(&create);
            assert_eq!(
                judge(&world, &known, &message).unwrap_err(),
                format!("failed to find `m.room.create` event {create}")
            );
        } else {
            let without = altered(&message, |json| {
                json["auth_events"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|id| *id != json!(create));
            });
            assert_eq!(
                judge(&world, &known, &without).unwrap_err(),
                "no `m.room.create` event in auth events"
            );
        }
    }
}

#[test]
fn an_unknown_version_has_no_rules() {
    for version in ["1", "2", "3", "4", "5", "13", "org.example", "999"] {
        room_versions::rules(&RoomVersionId::try_from(version).unwrap()).unwrap_err();
    }
}

#[test]
fn a_second_create_event_is_refused() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let content = EventTemplate::content_of(&json!({ "creator": user("alice") })).unwrap();
        let second = EventTemplate::state("m.room.create".into(), "", content);
        let denied = world.send("alice", second).unwrap_err();
        let expected = if *version == RoomVersionId::V12 {
            "room ID is not the hash of the `m.room.create` event"
        } else {
            "`m.room.create` event cannot have previous events"
        };
        assert_eq!(denied.reason, expected);
    }
}
