//! Who sees which events: `/event`, `/context` and `/messages` against one naive function, over
//! random histories of visibility and membership.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{event_ids, room_path};
use crate::support::{TestServer, TestUser, encode};

const VISIBILITIES: [&str; 4] = ["world_readable", "shared", "invited", "joined"];

/// How many histories are tried for each initial visibility, and how long they are.
const HISTORIES: u64 = 4;
const STEPS: usize = 14;

/// What the naive function knows of a user at one moment.
#[derive(Clone)]
struct Moment {
    visibility: String,
    membership: String,
}

/// The specification's algorithm, word by word, over all events of the room.
fn sees(events: &[Value], index: usize, user: &str) -> bool {
    let (before, after) = (
        moment(&events[..index], user),
        moment(&events[..=index], user),
    );
    let joins_later = events[index + 1..]
        .iter()
        .any(|event| membership_change(event, user).as_deref() == Some("join"));
    let allows = |visibility: &str, membership: &str| {
        visibility == "world_readable"
            || membership == "join"
            || visibility == "shared" && joins_later
            || visibility == "invited" && membership == "invite"
    };
    // Of a change of either, what holds before and after counts.
    [&before.visibility, &after.visibility]
        .iter()
        .any(|visibility| {
            [&before.membership, &after.membership]
                .iter()
                .any(|membership| allows(visibility, membership))
        })
}

fn moment(events: &[Value], user: &str) -> Moment {
    let mut moment = Moment {
        visibility: "shared".to_owned(),
        membership: "leave".to_owned(),
    };
    for event in events {
        if event["type"] == "m.room.history_visibility" {
            let visibility = event["content"]["history_visibility"].as_str();
            moment.visibility = visibility.unwrap().to_owned();
        }
        if let Some(membership) = membership_change(event, user) {
            moment.membership = membership;
        }
    }
    moment
}

fn membership_change(event: &Value, user: &str) -> Option<String> {
    let concerns = event["type"] == "m.room.member" && event["state_key"] == user;
    concerns.then(|| event["content"]["membership"].as_str().unwrap().to_owned())
}

struct World {
    server: TestServer,
    alice: TestUser,
    bob: TestUser,
    room: String,
}

impl World {
    async fn act(&self, user: &TestUser, what: &str, body: Value) {
        let path = room_path(&self.room, what);
        user.post(&path).json(&body).send().await.ok();
    }

    /// One random step that is possible now; returns Bob's membership after it.
    async fn step(&self, rng: &mut StdRng, membership: &str) -> String {
        let Self {
            alice, bob, room, ..
        } = self;
        if rng.random_bool(0.4) {
            alice.say(room, "x").await;
            return membership.to_owned();
        }
        if rng.random_bool(0.25) {
            let visibility = VISIBILITIES.choose(rng).unwrap();
            let path = room_path(room, "state/m.room.history_visibility");
            let content = json!({ "history_visibility": visibility });
            alice.put(&path).json(&content).send().await.ok();
            return membership.to_owned();
        }
        let possible: &[&str] = match membership {
            "leave" => &["invite", "join", "ban"],
            "invite" => &["join", "leave", "ban"],
            "join" => &["leave", "kick", "ban"],
            _ => &["unban"],
        };
        let about_bob = json!({ "user_id": bob.id });
        let step = possible.choose(rng).unwrap();
        let after = match *step {
            "join" => {
                bob.join(room).await;
                "join"
            }
            "leave" => {
                self.act(bob, "leave", json!({})).await;
                "leave"
            }
            step => {
                self.act(alice, step, about_bob).await;
                match step {
                    "invite" => "invite",
                    "ban" => "ban",
                    _ => "leave",
                }
            }
        };
        after.to_owned()
    }

    /// Everything that `user` gets by paging, in the order of the room.
    async fn pages(&self, user: &TestUser, dir: &str, limit: usize) -> Option<Vec<String>> {
        let mut seen = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let mut request = user
                .get(&room_path(&self.room, "messages"))
                .query("dir", dir)
                .query("limit", limit.to_string());
            if let Some(from) = &from {
                request = request.query("from", from);
            }
            let answer = request.send().await;
            if answer.status == 403 {
                return None;
            }
            let page = answer.ok();
            seen.extend(event_ids(&page["chunk"]));
            match page["end"].as_str() {
                Some(end) => from = Some(end.to_owned()),
                None => break,
            }
        }
        if dir == "b" {
            seen.reverse();
        }
        Some(seen)
    }

    async fn check(&self, user: &TestUser, events: &[Value], what: &str) {
        let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
        let visible: Vec<bool> = (0..events.len())
            .map(|index| sees(events, index, &user.id))
            .collect();
        let ids = |range: std::ops::Range<usize>| -> Vec<String> {
            let shown = range.filter(|index| visible[*index]);
            shown.map(|index| id(&events[index])).collect()
        };

        let joined_once = events
            .iter()
            .any(|event| membership_change(event, &user.id).as_deref() == Some("join"));
        let public_now = moment(events, &user.id).visibility == "world_readable";
        let expected = (joined_once || public_now).then(|| ids(0..events.len()));
        for (dir, limit) in [("b", 3), ("f", 3), ("b", 100), ("f", 100)] {
            let found = self.pages(user, dir, limit).await;
            assert_eq!(found, expected, "/messages {dir} {limit}, {what}");
        }
        for (index, event) in events.iter().enumerate() {
            let event_id = encode(id(event));
            let path = room_path(&self.room, &format!("event/{event_id}"));
            let answer = user.get(&path).send().await;
            let status = if visible[index] { 200 } else { 404 };
            assert_eq!(answer.status, status, "/event {index}, {what}");

            let path = room_path(&self.room, &format!("context/{event_id}"));
            let answer = user.get(&path).query("limit", "100").send().await;
            let status = if visible[index] { 200 } else { 403 };
            assert_eq!(answer.status, status, "/context {index}, {what}");
            if visible[index] {
                let body = answer.json();
                let list = |key: &str| body.get(key).map_or_else(Vec::new, event_ids);
                let mut before = list("events_before");
                before.reverse();
                assert_eq!(before, ids(0..index), "/context {index}, {what}");
                let after = list("events_after");
                assert_eq!(
                    after,
                    ids(index + 1..events.len()),
                    "/context {index}, {what}"
                );
            }
        }
    }
}

/// The events as the room's creator sees them, who was joined all the time.
async fn all_events(world: &World) -> Vec<Value> {
    let path = room_path(&world.room, "messages");
    let request = world
        .alice
        .get(&path)
        .query("dir", "f")
        .query("limit", "1000");
    request.send().await.ok()["chunk"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn every_way_to_read_an_event_agrees_with_the_specification() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let mut world = World {
        server,
        alice,
        bob,
        room: String::new(),
    };
    let mut hidden = 0;
    for (nth, visibility) in (0_u64..).zip(VISIBILITIES) {
        for history in 0..HISTORIES {
            let seed = nth * HISTORIES + history;
            let mut rng = StdRng::seed_from_u64(seed);
            let room = json!({
                "preset": "public_chat",
                "initial_state": [{
                    "type": "m.room.history_visibility",
                    "content": { "history_visibility": visibility },
                }],
            });
            world.room = world.alice.create_room(room).await;
            let mut membership = "leave".to_owned();
            for _ in 0..STEPS {
                membership = world.step(&mut rng, &membership).await;
            }
            let events = all_events(&world).await;
            assert!(events.len() > STEPS);
            let what = format!("history {seed}, initially {visibility}");
            world
                .check(&world.bob, &events, &format!("bob, {what}"))
                .await;
            world
                .check(&carol, &events, &format!("carol, {what}"))
                .await;
            let of_bob = (0..events.len()).filter(|index| !sees(&events, *index, &world.bob.id));
            hidden += of_bob.count();
        }
    }
    assert!(hidden > 20, "the histories hide something: {hidden}");
    drop(world.server);
}
