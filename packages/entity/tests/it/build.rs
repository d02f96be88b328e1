use std::collections::BTreeMap;

use matryx_entity::{
    auth,
    build::{BuildError, EventTemplate},
    canonical::{self, CanonicalError},
    format::MAX_DEPTH,
    pdu::Pdu,
    room_versions::{self, SUPPORTED},
};
use ruma::{
    CanonicalJsonValue, EventId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
    serde::Base64,
    signatures::{self, PublicKeyMap, Verified},
};
use serde_json::{Value, json, value::RawValue};

use crate::world::{World, key_pair, template, user};

fn public_keys() -> PublicKeyMap {
    let keys = BTreeMap::from([(
        "ed25519:1".to_owned(),
        Base64::new(key_pair().public_key().to_vec()),
    )]);
    BTreeMap::from([("here.org".to_owned(), keys)])
}

/// Ruma must find nothing to complain about, and come to the same id.
fn assert_sound(pdu: &Pdu, version: &RoomVersionId) {
    let rules = room_versions::rules(version).unwrap();
    let object = canonical::parse_object(pdu.json()).unwrap();
    assert_eq!(&*canonical::to_text(&object), &**pdu.json(), "is canonical");
    let verified = signatures::verify_event(&public_keys(), &object, rules).unwrap();
    assert_eq!(verified, Verified::All, "{}", pdu.json());
    let hash = signatures::reference_hash(&object, rules).unwrap();
    assert_eq!(pdu.event_id().as_str(), format!("${hash}"));
    let mut resigned = object.clone();
    resigned.remove("signatures");
    resigned.remove("hashes");
    signatures::hash_and_sign_event("here.org", &key_pair(), &mut resigned, &rules.redaction)
        .unwrap();
    assert_eq!(resigned, object);
    ruma::state_res::check_pdu_format(&object, &rules.event_format).unwrap();
}

#[test]
fn builds_what_ruma_would_build() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let contents: [(&str, Option<&str>, Value); 7] = [
            (
                "m.room.message",
                None,
                json!({ "msgtype": "m.text", "body": "héllo \"\u{0}\n\u{2028}" }),
            ),
            ("m.room.message", None, json!({})),
            (
                "m.room.topic",
                Some(""),
                json!({ "topic": "t", "z": [1, { "y": null }] }),
            ),
            (
                "m.room.history_visibility",
                Some(""),
                json!({ "history_visibility": "joined", "x": 1 }),
            ),
            (
                "m.room.power_levels",
                Some(""),
                world.power(&json!({ "invite": 5, "x": { "a": 1 } })),
            ),
            (
                "org.example.\"odd\"",
                Some("key with \\ and \""),
                json!({ "a": -5 }),
            ),
            (
                "m.room.join_rules",
                Some(""),
                json!({ "join_rule": "invite", "allow": [], "x": 1 }),
            ),
        ];
        for (kind, state_key, content) in contents {
            let event = world
                .send("alice", template(kind, state_key, &content))
                .unwrap();
            assert_sound(&event.pdu, version);
            let stored: Value = serde_json::from_str(event.pdu.content().get()).unwrap();
            assert_eq!(stored, content);
        }
        for event in world.room.recent.clone() {
            assert_sound(&event.pdu, version);
        }
    }
}

#[test]
fn the_id_of_a_version_12_room_is_the_hash_of_its_create_event() {
    for version in &SUPPORTED {
        let world = World::created(version, &json!({}));
        let create = world.room.get(&StateEventType::RoomCreate, "").unwrap();
        let stored: Value = serde_json::from_str(create.pdu.json()).unwrap();
        let hash = create.pdu.event_id().as_str().trim_start_matches('$');
        if *version == RoomVersionId::V12 {
            assert_eq!(world.room.room_id.as_str(), format!("!{hash}"));
            assert_eq!(stored.get("room_id"), None);
        } else {
            assert_eq!(world.room.room_id, "!room:here.org");
            assert_eq!(stored["room_id"], "!room:here.org");
        }
        assert_eq!(stored["prev_events"], json!([]));
        assert_eq!(stored["auth_events"], json!([]));
        assert_eq!(stored["depth"], 1);
        assert_sound(&create.pdu, version);
    }
}

#[test]
fn puts_redacts_where_the_version_has_it() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let message = world.message("alice", "oops").unwrap();
        let redaction = EventTemplate {
            redacts: Some(message.pdu.event_id().to_owned()),
            ..template("m.room.redaction", None, &json!({ "reason": "typo" }))
        };
        let event = world.send("alice", redaction).unwrap();
        assert_sound(&event.pdu, version);
        assert_eq!(event.pdu.redacts(), Some(message.pdu.event_id()));
        let stored: Value = serde_json::from_str(event.pdu.json()).unwrap();
        let id = json!(message.pdu.event_id());
        let in_content = matches!(version, RoomVersionId::V11 | RoomVersionId::V12);
        assert_eq!(stored["content"].get("redacts"), in_content.then_some(&id));
        assert_eq!(stored.get("redacts"), (!in_content).then_some(&id));
    }
}

#[test]
fn stands_on_the_extremities_and_one_deeper() {
    let mut world = World::new(&RoomVersionId::V10);
    let ids: Vec<_> = (0..25)
        .map(|id| EventId::parse(format!("$extremity{id}")).unwrap())
        .collect();
    world.room.extremities.clone_from(&ids);
    world.room.depth = 41;
    let pdu = world
        .build("alice", template("m.x", None, &json!({})))
        .unwrap();
    assert_eq!(pdu.prev_events(), &ids[5..], "the newest twenty");
    assert_eq!(pdu.depth(), 42);
    world.room.depth = MAX_DEPTH;
    let pdu = world
        .build("alice", template("m.x", None, &json!({})))
        .unwrap();
    assert_eq!(pdu.depth(), MAX_DEPTH);
}

#[test]
fn names_the_events_that_allow_it() {
    let restricted = json!({ "join_rule": "restricted", "allow": [] });
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let slot = |world: &World, kind: StateEventType, key: &str| {
            world
                .room
                .get(&kind, key)
                .unwrap()
                .pdu
                .event_id()
                .to_owned()
        };
        let create = slot(&world, StateEventType::RoomCreate, "");
        let power = slot(&world, StateEventType::RoomPowerLevels, "");
        let alice = slot(&world, StateEventType::RoomMember, user("alice").as_str());
        let message = world.message("alice", "hi").unwrap();
        let mut expected = vec![power, alice.clone()];
        if *version != RoomVersionId::V12 {
            expected.push(create);
        }
        assert_eq!(message.pdu.auth_events(), expected);

        let rules = room_versions::rules(version).unwrap();
        if !rules.authorization.restricted_join_rule {
            continue;
        }
        world
            .state("alice", "m.room.join_rules", "", &restricted)
            .unwrap();
        let content = json!({
            "membership": "join",
            "join_authorised_via_users_server": user("alice"),
        });
        let join = world
            .state("bob", "m.room.member", user("bob").as_str(), &content)
            .unwrap();
        assert!(join.pdu.auth_events().contains(&alice));
        let join_rules = slot(&world, StateEventType::RoomJoinRules, "");
        assert!(join.pdu.auth_events().contains(&join_rules));
    }
}

#[test]
fn refuses_a_member_event_without_membership() {
    let mut world = World::new(&RoomVersionId::V12);
    for content in [json!({}), json!({ "membership": 1 })] {
        let built = world.build(
            "bob",
            template("m.room.member", Some("@bob:here.org"), &content),
        );
        assert!(matches!(built, Err(BuildError::Member { .. })), "{built:?}");
    }
}

#[test]
fn reads_content_strictly() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    for text in [
        r#"{"a":1.5}"#,
        r#"{"a":9007199254740992}"#,
        "[]",
        r#"{"a":-0}"#,
    ] {
        let read = EventTemplate::content_from(&raw(text));
        assert!(
            matches!(read, Err(CanonicalError::NotCanonical(_))),
            "{text}"
        );
    }
    let read = EventTemplate::content_from(&raw(r#" {"b":1,"a":2} "#)).unwrap();
    assert_eq!(read.get("a"), Some(&CanonicalJsonValue::Integer(2.into())));
}

#[test]
fn refuses_fields_that_are_too_long() {
    let mut world = World::new(&RoomVersionId::V12);
    let long = "x".repeat(256);
    for (kind, state_key) in [(long.as_str(), None), ("m.x", Some(long.as_str()))] {
        let error = world
            .build("alice", template(kind, state_key, &json!({})))
            .unwrap_err();
        assert!(matches!(error, BuildError::Format(error) if error.is_too_large()));
    }
}

#[test]
fn a_built_event_can_be_checked_before_it_is_in_the_room() {
    let mut world = World::new(&RoomVersionId::V12);
    let pdu = world
        .build(
            "mallory",
            EventTemplate::message(TimelineEventType::RoomMessage, BTreeMap::default()),
        )
        .unwrap();
    let denied = auth::authorize(world.rules, &pdu, &world.room).unwrap_err();
    assert_eq!(denied.reason, "sender's membership is not `join`");
}
