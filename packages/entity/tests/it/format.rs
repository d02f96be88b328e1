use matryx_entity::{
    build::BuildError,
    canonical,
    format::{FormatError, MAX_PDU_BYTES, check_pdu, check_size},
    room_versions::{self, SUPPORTED},
};
use ruma::{CanonicalJsonObject, RoomVersionId};
use serde_json::{Value, json};

use crate::world::{World, template};

fn pdu() -> Value {
    json!({
        "auth_events": ["$a", "$b"],
        "content": { "body": "hello" },
        "depth": 12,
        "hashes": { "sha256": "x" },
        "origin_server_ts": 1,
        "prev_events": ["$c"],
        "room_id": "!room:here.org",
        "sender": "@alice:here.org",
        "signatures": { "here.org": { "ed25519:1": "x" } },
        "type": "m.room.message",
    })
}

fn check(pdu: &Value, version: &RoomVersionId) -> Result<(), FormatError> {
    let text = pdu.to_string();
    let object: CanonicalJsonObject = canonical::parse_object(&text).unwrap();
    check_pdu(&object, text.len(), room_versions::rules(version).unwrap())
}

fn with(field: &str, value: Value) -> Value {
    let mut pdu = pdu();
    pdu.as_object_mut().unwrap().insert(field.to_owned(), value);
    pdu
}

fn without(field: &str) -> Value {
    let mut pdu = pdu();
    pdu.as_object_mut().unwrap().remove(field);
    pdu
}

#[test]
fn accepts_a_plain_event_in_every_version() {
    for version in &SUPPORTED {
        check(&pdu(), version).unwrap();
    }
}

#[test]
fn a_pdu_has_at_most_65536_bytes() {
    assert_eq!(MAX_PDU_BYTES, 65_536);
    check_size(65_535).unwrap();
    check_size(65_536).unwrap();
    assert_eq!(
        check_size(65_537),
        Err(FormatError::TooLarge { bytes: 65_537 })
    );
}

#[test]
fn a_built_event_of_exactly_the_limit_passes() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let content = |bytes: usize| json!({ "body": "x".repeat(bytes) });
        // What surrounds the body: as long for every body, but for the depth, which stays.
        let small = world
            .build("alice", template("m.room.message", None, &content(0)))
            .unwrap();
        let around = small.json().len();
        for (size, fits) in [(65_535, true), (65_536, true), (65_537, false)] {
            let built = world.build(
                "alice",
                template("m.room.message", None, &content(size - around)),
            );
            match built {
                Ok(pdu) => {
                    assert!(fits);
                    assert_eq!(pdu.json().len(), size);
                }
                Err(BuildError::Format(error)) => {
                    assert!(!fits);
                    assert!(error.is_too_large());
                    assert_eq!(error, FormatError::TooLarge { bytes: size });
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn counts_code_points_up_to_version_10_and_bytes_after() {
    for version in &SUPPORTED {
        let counts_bytes = matches!(version, RoomVersionId::V11 | RoomVersionId::V12);
        for field in ["state_key", "type"] {
            check(&with(field, json!("x".repeat(255))), version).unwrap();
            let too_long = Err(FormatError::FieldTooLong { field });
            assert_eq!(
                check(&with(field, json!("x".repeat(256))), version),
                too_long
            );
            // 255 code points of two bytes each.
            let wide = check(&with(field, json!("ü".repeat(255))), version);
            if counts_bytes {
                assert_eq!(wide, too_long);
            } else {
                wide.unwrap();
            }
            assert_eq!(
                check(&with(field, json!("ü".repeat(256))), version),
                too_long
            );
        }
    }
}

#[test]
fn bounds_references() {
    let ids = |count: usize| json!((0..count).map(|id| format!("${id}")).collect::<Vec<_>>());
    let version = &RoomVersionId::V12;
    check(&with("prev_events", ids(20)), version).unwrap();
    check(&with("auth_events", ids(10)), version).unwrap();
    for (field, count) in [("prev_events", 21), ("auth_events", 11)] {
        assert_eq!(
            check(&with(field, ids(count)), version),
            Err(FormatError::TooManyReferences { field, count })
        );
    }
    for field in ["prev_events", "auth_events"] {
        for value in [
            json!({}),
            json!("x"),
            json!([1]),
            json!([["$a", {}]]),
            json!(null),
        ] {
            assert_eq!(
                check(&with(field, value), version),
                Err(FormatError::WrongType { field })
            );
        }
    }
}

#[test]
fn bounds_the_depth() {
    let version = &RoomVersionId::V11;
    check(&with("depth", json!(0)), version).unwrap();
    check(&with("depth", json!(9_007_199_254_740_991_i64)), version).unwrap();
    assert_eq!(
        check(&with("depth", json!(-1)), version),
        Err(FormatError::Depth)
    );
    assert_eq!(
        check(&with("depth", json!("1")), version),
        Err(FormatError::WrongType { field: "depth" })
    );
}

#[test]
fn every_field_is_needed_and_has_its_type() {
    for version in &SUPPORTED {
        for field in [
            "type",
            "sender",
            "room_id",
            "content",
            "hashes",
            "signatures",
            "origin_server_ts",
            "prev_events",
            "auth_events",
            "depth",
        ] {
            assert_eq!(
                check(&without(field), version),
                Err(FormatError::Missing { field })
            );
            assert_eq!(
                check(&with(field, json!(true)), version),
                Err(FormatError::WrongType { field })
            );
        }
        assert_eq!(
            check(&with("state_key", json!(1)), version),
            Err(FormatError::WrongType { field: "state_key" })
        );
    }
}

#[test]
fn version_12_names_the_create_event_by_the_room_id_only() {
    let mut create = with("type", json!("m.room.create"));
    create.as_object_mut().unwrap().remove("room_id");
    check(&create, &RoomVersionId::V12).unwrap();
    assert_eq!(
        check(&create, &RoomVersionId::V11),
        Err(FormatError::Missing { field: "room_id" })
    );
    let named = json!({ "room_id": "!a", "auth_events": ["$a"] });
    let mut pdu = pdu();
    pdu.as_object_mut()
        .unwrap()
        .extend(named.as_object().unwrap().clone());
    assert_eq!(
        check(&pdu, &RoomVersionId::V12),
        Err(FormatError::CreateInAuthEvents)
    );
}
