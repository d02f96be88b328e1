use matryx_entity::{
    member::Member, position::Position, room_no::RoomNo, timeline::TimelineEvent,
    visibility::Viewer,
};
use proptest::{collection::vec, prelude::*};
use ruma::{
    RoomVersionId,
    events::room::{history_visibility::HistoryVisibility, member::MembershipState},
    owned_event_id,
};
use serde_json::json;

use crate::world::{World, template, user};

/// Something that happens in the room.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Message,
    Visibility(&'static str),
    Bob(&'static str),
    Carol(&'static str),
}

fn happenings() -> impl Strategy<Value = Happening> {
    let visibility = prop::sample::select(vec![
        "world_readable",
        "shared",
        "invited",
        "joined",
        "org.example.unknown",
    ]);
    let membership = || prop::sample::select(vec!["join", "leave", "invite", "ban", "knock"]);
    prop_oneof![
        3 => Just(Happening::Message),
        2 => visibility.prop_map(Happening::Visibility),
        3 => membership().prop_map(Happening::Bob),
        1 => membership().prop_map(Happening::Carol),
    ]
}

/// The spec's text, word for word, on the whole history: slow and plain.
struct Naive<'a> {
    history: &'a [Happening],
}

impl Naive<'_> {
    fn visibility_before(&self, index: usize) -> &'static str {
        self.history[..index]
            .iter()
            .rev()
            .find_map(|happening| match happening {
                Happening::Visibility(visibility) => Some(*visibility),
                _ => None,
            })
            .unwrap_or("shared")
    }

    fn membership_before(&self, index: usize) -> &'static str {
        self.history[..index]
            .iter()
            .rev()
            .find_map(|happening| match happening {
                Happening::Bob(membership) => Some(*membership),
                _ => None,
            })
            .unwrap_or("leave")
    }

    fn joins_after(&self, index: usize) -> bool {
        self.history[index + 1..]
            .iter()
            .any(|happening| matches!(happening, Happening::Bob("join")))
    }

    fn allows(&self, index: usize, visibility: &str, membership: &str) -> bool {
        if visibility == "world_readable" {
            return true;
        }
        if membership == "join" {
            return true;
        }
        let shared = !matches!(visibility, "invited" | "joined");
        if shared && self.joins_after(index) {
            return true;
        }
        membership == "invite" && visibility == "invited"
    }

    fn sees(&self, index: usize) -> bool {
        let before = self.allows(
            index,
            self.visibility_before(index),
            self.membership_before(index),
        );
        match self.history[index] {
            Happening::Message | Happening::Carol(_) => before,
            // "the history_visibility before or after the event"
            Happening::Visibility(after) => {
                before || self.allows(index, after, self.membership_before(index))
            }
            // "their membership before or after the event"
            Happening::Bob(after) => {
                before || self.allows(index, self.visibility_before(index), after)
            }
        }
    }
}

/// bob's membership record after these happenings, the first of which is at `first`.
fn member_of_bob(world: &World, history: &[Happening], first: i64) -> Option<Member> {
    let spans: Vec<_> = (first..)
        .zip(history)
        .filter_map(|(pos, happening)| match happening {
            Happening::Bob(membership) => Some((pos, MembershipState::from(*membership))),
            _ => None,
        })
        .collect();
    let (pos, membership) = spans.last()?.clone();
    Some(Member {
        user: user("bob"),
        room: RoomNo(1),
        room_id: world.room.room_id.clone(),
        membership,
        event_id: owned_event_id!("$member"),
        sender: user("bob"),
        pos,
        at: Position::default(),
        since: Position::default(),
        spans,
        forgotten: false,
        stripped_state: None,
    })
}

fn play(world: &mut World, happening: Happening) {
    match happening {
        Happening::Message => {
            world.force(
                "alice",
                template("m.room.message", None, &json!({ "body": "x" })),
            );
        }
        Happening::Visibility(visibility) => {
            let content = json!({ "history_visibility": visibility });
            world.force(
                "alice",
                template("m.room.history_visibility", Some(""), &content),
            );
        }
        Happening::Bob(membership) => {
            world.force_member("bob", membership);
        }
        Happening::Carol(membership) => {
            world.force_member("carol", membership);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn agrees_with_the_spec_read_naively(history in vec(happenings(), 1..14)) {
        let mut world = World::created(&RoomVersionId::V12, &json!({}));
        world.join("alice").unwrap();
        let first = world.room.head + 1;
        for happening in &history {
            play(&mut world, *happening);
        }
        let member = member_of_bob(&world, &history, first);
        let bob = user("bob");
        let viewer = Viewer::new(&bob, member.as_ref(), &world.room);
        let naive = Naive { history: &history };
        for index in 0..history.len() {
            let event = &world.room.recent[usize::try_from(first).unwrap() - 1 + index];
            prop_assert_eq!(viewer.sees(event), naive.sees(index), "event {}", index);
        }
        let stranger = Viewer::stranger(&world.room);
        for (index, happening) in history.iter().enumerate() {
            let event = &world.room.recent[usize::try_from(first).unwrap() - 1 + index];
            let readable = naive.visibility_before(index) == "world_readable"
                || matches!(happening, Happening::Visibility("world_readable"));
            prop_assert_eq!(stranger.sees(event), readable, "event {}", index);
        }
    }
}

fn scene(history: &[Happening]) -> (World, Option<Member>) {
    let mut world = World::created(&RoomVersionId::V12, &json!({}));
    world.join("alice").unwrap();
    let first = world.room.head + 1;
    for happening in history {
        play(&mut world, *happening);
    }
    let member = member_of_bob(&world, history, first);
    (world, member)
}

#[test]
fn rejected_and_soft_failed_events_are_for_nobody() {
    let (mut world, member) = scene(&[
        Happening::Visibility("world_readable"),
        Happening::Bob("join"),
    ]);
    let pdu = |world: &mut World| {
        world
            .build("alice", template("m.room.message", None, &json!({})))
            .unwrap()
    };
    let event = |pdu, rejected, soft_failed| TimelineEvent {
        pdu: std::sync::Arc::new(pdu),
        pos: 5,
        at: std::sync::OnceLock::new(),
        rejected,
        soft_failed,
        redacted_by: None,
        group: 0,
        head_group: None,
        replaces: None,
        delta: None,
        past: None,
        seam: None,
    };
    let bob = user("bob");
    for (rejected, soft_failed, seen) in [
        (false, false, true),
        (true, false, false),
        (false, true, false),
    ] {
        let event = event(pdu(&mut world), rejected, soft_failed);
        let viewer = Viewer::new(&bob, member.as_ref(), &world.room);
        assert_eq!(viewer.sees(&event), seen);
        assert_eq!(Viewer::stranger(&world.room).sees(&event), seen);
    }
}

#[test]
fn says_who_may_look_at_the_room_now() {
    for (history, sees_now) in [
        (vec![Happening::Bob("join")], true),
        (vec![Happening::Bob("join"), Happening::Bob("leave")], false),
        (vec![Happening::Bob("invite")], false),
        (vec![Happening::Visibility("world_readable")], true),
        (
            vec![
                Happening::Visibility("world_readable"),
                Happening::Visibility("joined"),
            ],
            false,
        ),
    ] {
        let (world, member) = scene(&history);
        let bob = user("bob");
        let viewer = Viewer::new(&bob, member.as_ref(), &world.room);
        assert_eq!(viewer.sees_now(), sees_now, "{history:?}");
    }
}

#[test]
fn a_room_without_the_event_is_shared() {
    let (world, member) = scene(&[Happening::Message, Happening::Bob("join")]);
    assert_eq!(world.room.visibility_at(3), HistoryVisibility::Shared);
    let bob = user("bob");
    let viewer = Viewer::new(&bob, member.as_ref(), &world.room);
    let message = &world.room.recent[2];
    assert!(viewer.sees(message));
    assert_eq!(viewer.membership_at(message), MembershipState::Leave);
    assert!(!Viewer::new(&bob, None, &world.room).sees(message));
}
