//! What a server sees, held against the state that each event has.

use matryx_entity::visibility::server::{ServerStanding, ServerViewer};
use proptest::{collection::vec, prelude::*};
use ruma::{RoomVersionId, events::room::member::MembershipState, server_name};
use serde_json::json;

use crate::world::{World, template, user};

const BOB: &str = "@bob:there.org";
const CAROL: &str = "@carol:there.org:8448";
const DAVE: &str = "@dave:there.org";

/// Something that happens in the room.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Message,
    FromThere,
    Visibility(&'static str),
    Member(&'static str, &'static str),
}

fn happenings() -> impl Strategy<Value = Happening> {
    let visibility = prop::sample::select(vec![
        "world_readable",
        "shared",
        "invited",
        "joined",
        "org.example.unknown",
    ]);
    let user = prop::sample::select(vec![BOB, CAROL, DAVE]);
    let membership = prop::sample::select(vec!["join", "leave", "invite", "ban", "knock"]);
    prop_oneof![
        3 => Just(Happening::Message),
        1 => Just(Happening::FromThere),
        2 => visibility.prop_map(Happening::Visibility),
        4 => (user, membership).prop_map(|(user, is)| Happening::Member(user, is)),
    ]
}

fn play(world: &mut World, happening: Happening) {
    let message = || template("m.room.message", None, &json!({ "body": "x" }));
    match happening {
        Happening::Message => world.force("alice", message()),
        Happening::FromThere => world.force(DAVE, message()),
        Happening::Visibility(visibility) => {
            let content = json!({ "history_visibility": visibility });
            world.force(
                "alice",
                template("m.room.history_visibility", Some(""), &content),
            )
        }
        Happening::Member(user, is) => world.force_member(user, is),
    };
}

/// The users of `there.org` and what they are after these happenings.
fn memberships(history: &[Happening]) -> Vec<MembershipState> {
    let last = |wanted: &str| {
        history.iter().rev().find_map(|happening| match happening {
            Happening::Member(user, is) if *user == wanted => Some(MembershipState::from(*is)),
            _ => None,
        })
    };
    [BOB, DAVE].into_iter().filter_map(last).collect()
}

fn visibility(history: &[Happening]) -> &'static str {
    let mut last = history.iter().rev();
    let last = last.find_map(|happening| match happening {
        Happening::Visibility(visibility) => Some(*visibility),
        _ => None,
    });
    last.unwrap_or("shared")
}

fn sees(history: &[Happening], index: usize) -> bool {
    let (before, after) = (&history[..index], &history[..=index]);
    let standing = ServerStanding::of(memberships(after));
    let allows = |visibility: &str| match visibility {
        "joined" => standing == ServerStanding::Joined,
        "invited" => standing != ServerStanding::Absent,
        _ => true,
    };
    match history[index] {
        Happening::FromThere | Happening::Member(BOB | DAVE, _) => true,
        _ => allows(visibility(before)) || allows(visibility(after)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn agrees_with_the_state_at_each_event(history in vec(happenings(), 1..14)) {
        let mut world = World::created(&RoomVersionId::V12, &json!({}));
        world.join("alice").unwrap();
        let first = world.room.recent.len();
        for happening in &history {
            play(&mut world, *happening);
        }
        let viewer = ServerViewer::new(server_name!("there.org"), &world.room);
        let is_in = memberships(&history).contains(&MembershipState::Join);
        prop_assert_eq!(viewer.is_in_room(), is_in);
        for index in 0..history.len() {
            let event = &world.room.recent[first + index];
            let standing = ServerStanding::of(memberships(&history[..=index]));
            let expected = sees(&history, index);
            prop_assert_eq!(viewer.sees(event, standing), expected, "event {}", index);
            if let Some(at_once) = viewer.sees_at_once(event) {
                prop_assert_eq!(at_once, expected, "event {} at once", index);
            }
        }
    }
}

#[test]
fn tells_servers_with_similar_names_apart() {
    let mut world = World::new(&RoomVersionId::V11);
    world.force_member("@eve:there.org", "join");
    world.force_member("@mallory:evil.there.org", "join");
    for (server, is_in) in [
        (server_name!("there.org"), true),
        (server_name!("evil.there.org"), true),
        (server_name!("here.org"), true),
        (server_name!("here.org:8448"), false),
        (server_name!("org"), false),
        (server_name!("re.org"), false),
    ] {
        let viewer = ServerViewer::new(server, &world.room);
        assert_eq!(viewer.is_in_room(), is_in, "{server}");
    }
    assert_eq!(user("@eve:there.org").server_name(), "there.org");
}

#[test]
fn history_from_before_the_server_came_is_as_it_was_then() {
    for (visibility, seen) in [("joined", None), ("shared", Some(true))] {
        let mut world = World::new(&RoomVersionId::V11);
        let content = json!({ "history_visibility": visibility });
        world.force(
            "alice",
            template("m.room.history_visibility", Some(""), &content),
        );
        world.force_member("@eve:there.org", "join");
        let message = template("m.room.message", None, &json!({ "body": "x" }));
        let pdu = world.build("alice", message).unwrap();
        let old = matryx_entity::timeline::TimelineEvent::new(pdu, -3, 0, None);
        let viewer = ServerViewer::new(server_name!("there.org"), &world.room);
        assert_eq!(viewer.sees_at_once(&old), seen);
        assert!(viewer.sees(&old, ServerStanding::Joined));
        assert_eq!(viewer.sees(&old, ServerStanding::Absent), seen.is_some());
    }
}

#[test]
fn what_lies_aside_is_for_others_only_as_state() {
    let mut world = World::new(&RoomVersionId::V11);
    world.force_member("@eve:there.org", "join");
    for (state_key, seen) in [(Some(""), true), (None, false)] {
        let template = template("org.example.thing", state_key, &json!({}));
        let pdu = world.build("alice", template).unwrap();
        let pos = matryx_entity::event::aside_place(pdu.event_id());
        let mut event = matryx_entity::timeline::TimelineEvent::new(pdu, pos, 0, None);
        let viewer = ServerViewer::new(server_name!("there.org"), &world.room);
        assert_eq!(viewer.sees(&event, ServerStanding::Joined), seen);
        event.rejected = true;
        assert!(!viewer.sees(&event, ServerStanding::Joined));
    }
}
