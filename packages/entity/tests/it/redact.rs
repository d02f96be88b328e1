use std::ops::RangeInclusive;

use matryx_entity::{
    build::EventTemplate,
    redact::{may_redact, redacted_json},
    room_versions::{self, SUPPORTED},
    timeline::TimelineEvent,
};
use ruma::{CanonicalJsonObject, RoomVersionId, signatures};
use serde_json::{Value, json};

use crate::{
    auth_matrix::number,
    world::{World, template},
};

/// In which versions what remains.
type Kept = (RangeInclusive<u8>, Value);

/// Which content remains, by type: `(type, content, [(versions, what remains)])`.
#[expect(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<(&'static str, Value, Vec<Kept>)> {
    let signed = json!({ "mxid": "@b:here.org", "token": "t", "signatures": {} });
    let member = json!({
        "membership": "join", "displayname": "d", "avatar_url": "mxc://a/b", "reason": "r",
        "join_authorised_via_users_server": "@a:here.org",
        "third_party_invite": { "display_name": "x", "signed": signed },
    });
    let power = json!({
        "ban": 1, "events": { "m.x": 1 }, "events_default": 2, "invite": 3, "kick": 4,
        "notifications": { "room": 5 }, "redact": 6, "state_default": 7, "users": {},
        "users_default": 8, "org.example": 9,
    });
    let mut power_6 = power.clone();
    for gone in ["invite", "notifications", "org.example"] {
        power_6.as_object_mut().unwrap().remove(gone);
    }
    let mut power_11 = power_6.clone();
    power_11["invite"] = json!(3);
    let create =
        json!({ "creator": "@a:here.org", "m.federate": false, "predecessor": {}, "x": 1 });
    let join_rules = json!({ "join_rule": "restricted", "allow": [{ "type": "x" }], "x": 1 });
    vec![
        (
            "m.room.message",
            json!({ "body": "b", "msgtype": "m.text" }),
            vec![(6..=12, json!({}))],
        ),
        (
            "m.room.member",
            member,
            vec![
                (6..=8, json!({ "membership": "join" })),
                (
                    9..=10,
                    json!({
                        "membership": "join", "join_authorised_via_users_server": "@a:here.org",
                    }),
                ),
                (
                    11..=12,
                    json!({
                        "membership": "join", "join_authorised_via_users_server": "@a:here.org",
                        "third_party_invite": { "signed": signed },
                    }),
                ),
            ],
        ),
        (
            "m.room.create",
            create.clone(),
            vec![
                (6..=10, json!({ "creator": "@a:here.org" })),
                (11..=12, create),
            ],
        ),
        (
            "m.room.join_rules",
            join_rules,
            vec![
                (6..=7, json!({ "join_rule": "restricted" })),
                (
                    8..=12,
                    json!({ "join_rule": "restricted", "allow": [{ "type": "x" }] }),
                ),
            ],
        ),
        (
            "m.room.power_levels",
            power,
            vec![(6..=10, power_6), (11..=12, power_11)],
        ),
        (
            "m.room.history_visibility",
            json!({ "history_visibility": "shared", "x": 1 }),
            vec![(6..=12, json!({ "history_visibility": "shared" }))],
        ),
        (
            "m.room.redaction",
            json!({ "redacts": "$x", "reason": "r" }),
            vec![(6..=10, json!({})), (11..=12, json!({ "redacts": "$x" }))],
        ),
        (
            "m.room.aliases",
            json!({ "aliases": ["#a:here.org"] }),
            vec![(6..=12, json!({}))],
        ),
        (
            "m.room.topic",
            json!({ "topic": "t" }),
            vec![(6..=12, json!({}))],
        ),
    ]
}

#[test]
fn keeps_what_the_version_keeps() {
    for version in &SUPPORTED {
        let rules = room_versions::rules(version).unwrap();
        for (kind, content, remains) in table() {
            let pdu = json!({
                "auth_events": ["$a"], "content": content, "depth": 3, "hashes": { "sha256": "h" },
                "origin": "here.org", "membership": "join", "prev_state": [],
                "origin_server_ts": 5, "prev_events": ["$p"], "redacts": "$x",
                "room_id": "!r:here.org", "sender": "@a:here.org", "signatures": {},
                "state_key": "", "type": kind, "unsigned": { "age": 1 }, "org.example": true,
            });
            let redacted = redacted_json(&pdu.to_string(), rules).unwrap();
            let (_, kept) = remains
                .iter()
                .find(|(versions, _)| versions.contains(&number(version)))
                .unwrap();
            let mut expected = pdu.clone();
            let map = expected.as_object_mut().unwrap();
            map.insert("content".to_owned(), kept.clone());
            for gone in ["redacts", "unsigned", "org.example"] {
                map.remove(gone);
            }
            if number(version) >= 11 {
                for gone in ["origin", "membership", "prev_state"] {
                    map.remove(gone);
                }
            }
            let found: Value = serde_json::from_str(&redacted).unwrap();
            assert_eq!(found, expected, "{kind} in version {version}");
        }
    }
}

#[test]
fn the_id_survives() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        for event in [
            world.message("alice", "secret").unwrap(),
            world.join("bob").unwrap(),
            world
                .state("alice", "m.room.topic", "", &json!({ "topic": "x" }))
                .unwrap(),
        ] {
            let text = redacted_json(event.pdu.json(), world.rules).unwrap();
            assert!(!text.contains("secret"));
            let object: CanonicalJsonObject = serde_json::from_str(&text).unwrap();
            let hash = signatures::reference_hash(&object, world.rules).unwrap();
            assert_eq!(event.pdu.event_id().as_str(), format!("${hash}"));
            assert_eq!(redacted_json(&text, world.rules).unwrap(), text);
        }
    }
}

#[test]
fn refuses_what_is_no_event() {
    let rules = room_versions::rules(&RoomVersionId::V12).unwrap();
    for text in ["", "[]", "{}", r#"{"type":1}"#] {
        redacted_json(text, rules).unwrap_err();
    }
}

fn redaction_of(target: &TimelineEvent) -> EventTemplate {
    EventTemplate {
        redacts: Some(target.pdu.event_id().to_owned()),
        ..template("m.room.redaction", None, &json!({}))
    }
}

#[test]
fn takes_effect_by_power_or_by_server() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        for user in ["bob", "@eve:there.org", "@dan:there.org", "@mod:there.org"] {
            world.force_member(user, "join");
        }
        let power =
            world.power(&json!({ "users": { "@mod:there.org": 50, "@dan:there.org": 49 } }));
        world
            .state("alice", "m.room.power_levels", "", &power)
            .unwrap();
        let target = world.message("@eve:there.org", "spam").unwrap();
        for (sender, works) in [
            ("alice", true),
            ("@mod:there.org", true),
            ("@eve:there.org", true),
            // The same server, whose business its users are.
            ("@dan:there.org", true),
            ("bob", false),
        ] {
            // Every redaction enters the room; not every one has effect.
            let redaction = world.send(sender, redaction_of(&target)).unwrap();
            assert_eq!(
                may_redact(&redaction.pdu, &target.pdu, &world.room),
                works,
                "{sender} in version {version}"
            );
        }
    }
}

#[test]
fn touches_only_the_event_that_it_names_in_its_own_room() {
    let mut world = World::new(&RoomVersionId::V12);
    let target = world.message("alice", "one").unwrap();
    let other = world.message("alice", "two").unwrap();
    let redaction = world.send("alice", redaction_of(&target)).unwrap();
    assert!(may_redact(&redaction.pdu, &target.pdu, &world.room));
    assert!(!may_redact(&redaction.pdu, &other.pdu, &world.room));
    assert!(!may_redact(&redaction.pdu, &redaction.pdu, &world.room));

    let mut elsewhere = World::created(&RoomVersionId::V12, &json!({ "x": 1 }));
    elsewhere.join("alice").unwrap();
    let foreign = elsewhere.send("alice", redaction_of(&target)).unwrap();
    assert!(!may_redact(&foreign.pdu, &target.pdu, &elsewhere.room));
}
