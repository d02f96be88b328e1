use matryx_entity::{
    build::EventTemplate,
    client_event::{Form, Unsigned, to_federation_raw, to_raw, to_stripped_raw},
    room_versions::SUPPORTED,
    timeline::TimelineEvent,
};
use ruma::{
    MilliSecondsSinceUnixEpoch, RoomVersionId, TransactionId, UInt,
    events::{
        AnyStrippedStateEvent, AnySyncTimelineEvent, AnyTimelineEvent,
        room::member::MembershipState,
    },
};
use serde_json::{Value, json};

use crate::world::{World, template, user};

fn at(ts: u32) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::from(ts))
}

fn read(event: &TimelineEvent, form: Form, unsigned: &Unsigned<'_>) -> Value {
    let raw = to_raw::<AnyTimelineEvent>(event, form, unsigned);
    serde_json::from_str(raw.json().get()).unwrap()
}

#[test]
fn a_client_gets_these_fields_and_no_others() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let event = world.message("alice", "hi \"there\"\n").unwrap();
        let now = at(world.ts + 250);
        let expected = json!({
            "content": { "body": "hi \"there\"\n", "msgtype": "m.text" },
            "event_id": event.pdu.event_id(),
            "origin_server_ts": world.ts,
            "sender": user("alice"),
            "type": "m.room.message",
            "unsigned": { "age": 250 },
        });
        assert_eq!(read(&event, Form::Sync, &Unsigned::at(now)), expected);
        let mut full = expected;
        full["room_id"] = json!(world.room.room_id);
        assert_eq!(read(&event, Form::Full, &Unsigned::at(now)), full);

        let state = world
            .state("alice", "org.\"odd\"", "k\\\"\u{1}", &json!({}))
            .unwrap();
        let text = read(&state, Form::Sync, &Unsigned::at(now));
        assert_eq!(text["type"], "org.\"odd\"");
        assert_eq!(text["state_key"], "k\\\"\u{1}");
    }
}

#[test]
fn an_age_is_never_negative() {
    let mut world = World::new(&RoomVersionId::V12);
    let event = world.message("alice", "from the future").unwrap();
    let text = read(&event, Form::Sync, &Unsigned::at(at(0)));
    assert_eq!(text["unsigned"], json!({ "age": 0 }));
}

#[test]
fn unsigned_says_what_the_reader_may_know() {
    let mut world = World::new(&RoomVersionId::V12);
    let old = world
        .state("alice", "m.room.topic", "", &json!({ "topic": "old" }))
        .unwrap();
    let new = world
        .state("alice", "m.room.topic", "", &json!({ "topic": "new" }))
        .unwrap();
    let txn = <&TransactionId>::from("txn \"1\"");
    let unsigned = Unsigned {
        transaction_id: Some(txn),
        membership: Some(&MembershipState::Join),
        replaced: Some(&old),
        ..Unsigned::at(at(world.ts))
    };
    let text = read(&new, Form::Sync, &unsigned);
    assert_eq!(
        text["unsigned"],
        json!({
            "age": 0,
            "membership": "join",
            "prev_content": { "topic": "old" },
            "prev_sender": user("alice"),
            "replaces_state": old.pdu.event_id(),
            "transaction_id": "txn \"1\"",
        })
    );
}

#[test]
fn redacts_is_in_both_places_in_every_version() {
    for version in &SUPPORTED {
        let mut world = World::new(version);
        let target = world.message("alice", "oops").unwrap();
        let redaction = EventTemplate {
            redacts: Some(target.pdu.event_id().to_owned()),
            ..template("m.room.redaction", None, &json!({ "reason": "typo" }))
        };
        let redaction = world.send("alice", redaction).unwrap();
        let text = read(&redaction, Form::Full, &Unsigned::at(at(world.ts)));
        let id = json!(target.pdu.event_id());
        assert_eq!(text["redacts"], id);
        assert_eq!(text["content"], json!({ "reason": "typo", "redacts": id }));

        let because = Unsigned {
            redacted_because: Some(&redaction),
            ..Unsigned::at(at(world.ts))
        };
        let text = read(&target, Form::Full, &because);
        let inner = &text["unsigned"]["redacted_because"];
        assert_eq!(inner["event_id"], json!(redaction.pdu.event_id()));
        assert_eq!(inner["room_id"], json!(world.room.room_id));
    }
}

#[test]
fn other_events_have_no_redacts() {
    let mut world = World::new(&RoomVersionId::V12);
    let content = json!({ "redacts": "$x" });
    let event = world
        .send("alice", template("m.room.message", None, &content))
        .unwrap();
    let text = read(&event, Form::Full, &Unsigned::at(at(0)));
    assert_eq!(text.get("redacts"), None);
    assert_eq!(text["content"], content);
}

#[test]
fn ruma_reads_what_we_write() {
    let mut world = World::new(&RoomVersionId::V11);
    world.message("alice", "hi").unwrap();
    for event in &world.room.recent {
        let unsigned = Unsigned::at(at(world.ts));
        to_raw::<AnyTimelineEvent>(event, Form::Full, &unsigned)
            .deserialize()
            .unwrap();
        to_raw::<AnySyncTimelineEvent>(event, Form::Sync, &unsigned)
            .deserialize()
            .unwrap();
        let federation = to_federation_raw::<AnyTimelineEvent>(event);
        assert_eq!(federation.json().get(), &**event.pdu.json());
    }
}

#[test]
fn a_stripped_event_has_four_fields() {
    let mut world = World::new(&RoomVersionId::V12);
    let content = json!({ "name": "A \"room\"" });
    let event = world.state("alice", "m.room.name", "", &content).unwrap();
    let text = to_stripped_raw::<AnyStrippedStateEvent>(&event.pdu);
    let text: Value = serde_json::from_str(text.json().get()).unwrap();
    assert_eq!(
        text,
        json!({
            "content": content, "sender": user("alice"), "state_key": "", "type": "m.room.name",
        })
    );
}
