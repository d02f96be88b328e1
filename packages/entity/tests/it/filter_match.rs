use matryx_entity::filter_match::{Facts, passes, passes_event, passes_in_room, wants_room};
use ruma::{
    RoomVersionId,
    api::client::filter::{Filter, RoomEventFilter, RoomFilter},
    room_id, user_id,
};
use serde_json::{Value, json};

use crate::world::{World, template, user};

fn room_events(filter: Value) -> RoomEventFilter {
    serde_json::from_value(filter).unwrap()
}

#[test]
fn lets_the_right_events_through() {
    let mut world = World::new(&RoomVersionId::V12);
    let room_id = world.room.room_id.clone();
    let message = world.message("alice", "hi").unwrap();
    let content = json!({ "body": "p", "url": "mxc://a/b" });
    let image = world
        .send("alice", template("m.room.message", None, &content))
        .unwrap();
    let odd = world
        .send(
            "alice",
            template("m.room.message", None, &json!({ "url": 1 })),
        )
        .unwrap();
    for (filter, passes_message, passes_image) in [
        (json!({}), true, true),
        (json!({ "types": ["m.room.message"] }), true, true),
        (json!({ "types": ["m.room.*"] }), true, true),
        (json!({ "types": ["*"] }), true, true),
        (json!({ "types": ["*.message"] }), true, true),
        (json!({ "types": ["m.*.message"] }), true, true),
        (json!({ "types": ["m.room.m?ssage"] }), false, false),
        (json!({ "types": ["m.room"] }), false, false),
        (json!({ "types": [] }), false, false),
        (json!({ "not_types": ["m.room.*"] }), false, false),
        (json!({ "not_types": ["m.room.topic"] }), true, true),
        (
            json!({ "types": ["m.room.message"], "not_types": ["*"] }),
            false,
            false,
        ),
        (json!({ "senders": [user("alice")] }), true, true),
        (json!({ "senders": [user("bob")] }), false, false),
        (json!({ "senders": [] }), false, false),
        (json!({ "not_senders": [user("alice")] }), false, false),
        (
            json!({ "senders": [user("alice")], "not_senders": [user("alice")] }),
            false,
            false,
        ),
        (json!({ "rooms": [room_id] }), true, true),
        (json!({ "rooms": ["!other:here.org"] }), false, false),
        (json!({ "rooms": [] }), false, false),
        (json!({ "not_rooms": [room_id] }), false, false),
        (json!({ "contains_url": true }), false, true),
        (json!({ "contains_url": false }), true, false),
    ] {
        let parsed = room_events(filter.clone());
        assert_eq!(passes_event(&parsed, &message), passes_message, "{filter}");
        assert_eq!(passes_event(&parsed, &image), passes_image, "{filter}");
    }
    let with_url = room_events(json!({ "contains_url": true }));
    assert!(!passes_event(&with_url, &odd), "a url is text");
}

#[test]
fn filters_what_is_no_timeline_event() {
    let alice = user_id!("@alice:here.org");
    let presence = Facts {
        kind: "m.presence",
        sender: Some(alice),
    };
    let typing = Facts {
        kind: "m.typing",
        sender: None,
    };
    for (filter, by_alice, by_nobody) in [
        (json!({}), true, true),
        (json!({ "types": ["m.pres*"] }), true, false),
        (json!({ "not_types": ["m.presence"] }), false, true),
        (json!({ "senders": ["@alice:here.org"] }), true, false),
        (json!({ "not_senders": ["@alice:here.org"] }), false, true),
    ] {
        let plain: Filter = serde_json::from_value(filter.clone()).unwrap();
        assert_eq!(passes(&plain, presence), by_alice, "{filter}");
        assert_eq!(passes(&plain, typing), by_nobody, "{filter}");
        let in_room = room_events(filter.clone());
        let room = room_id!("!room:here.org");
        assert_eq!(
            passes_in_room(&in_room, room, presence),
            by_alice,
            "{filter}"
        );
        assert_eq!(
            passes_in_room(&in_room, room, typing),
            by_nobody,
            "{filter}"
        );
    }
    let other = room_events(json!({ "not_rooms": ["!room:here.org"] }));
    assert!(!passes_in_room(&other, room_id!("!room:here.org"), typing));
}

#[test]
fn chooses_rooms() {
    let here = room_id!("!here:here.org");
    for (filter, wanted) in [
        (json!({}), true),
        (json!({ "rooms": ["!here:here.org"] }), true),
        (json!({ "rooms": [] }), false),
        (json!({ "not_rooms": ["!here:here.org"] }), false),
        (
            json!({ "rooms": ["!here:here.org"], "not_rooms": ["!here:here.org"] }),
            false,
        ),
    ] {
        let parsed: RoomFilter = serde_json::from_value(filter.clone()).unwrap();
        assert_eq!(wants_room(&parsed, here), wanted, "{filter}");
    }
}
