//! Paging back to before this server came to a room.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::{pair::Peer, stranger::Visit};
use crate::support::{TestUser, encode};

/// Alice's server and a room of hers, bob's server.
pub(super) struct Two {
    pub(super) here: Peer,
    pub(super) there: Peer,
    pub(super) alice: TestUser,
    pub(super) bob: TestUser,
    pub(super) room: String,
}

impl Two {
    pub(super) async fn new(version: &str) -> Self {
        let (here, there) = tokio::join!(
            Peer::start(),
            Peer::start_at("localhost", |builder| builder)
        );
        let alice = here.server.register("alice").await;
        let bob = there.server.register("bob").await;
        let body = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(body).await;
        Self {
            here,
            there,
            alice,
            bob,
            room,
        }
    }

    pub(super) async fn bob_joins(&self) {
        join(&self.bob, &self.room, self.here.name.as_str()).await;
    }

    pub(super) async fn set(&self, kind: &str, content: &Value) {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/state/{kind}/",
            encode(&self.room)
        );
        self.alice.put(&path).json(content).send().await.ok();
    }
}

pub(super) async fn join(user: &TestUser, room: &str, via: &str) {
    let path = format!("/_matrix/client/v3/join/{}", encode(room));
    let request = user.post(&path).query("via", via).json(&json!({}));
    request.send().await.ok();
}

/// One page.
pub(super) async fn page(
    user: &TestUser,
    room: &str,
    dir: &str,
    from: Option<&str>,
    limit: u32,
) -> Value {
    let path = format!("/_matrix/client/v3/rooms/{}/messages", encode(room));
    let request = user.get(&path).query("dir", dir);
    let request = request.query("limit", limit.to_string());
    let request = match from {
        Some(from) => request.query("from", from),
        None => request,
    };
    request.send().await.ok()
}

/// All pages, from one end of the room to the other.
pub(super) async fn pages(user: &TestUser, room: &str, dir: &str, limit: u32) -> Vec<Value> {
    let mut events = Vec::new();
    let mut from: Option<String> = None;
    for _ in 0..50 {
        let page = page(user, room, dir, from.as_deref(), limit).await;
        events.extend(page["chunk"].as_array().unwrap().iter().cloned());
        match page["end"].as_str() {
            Some(end) => from = Some(end.to_owned()),
            None => return events,
        }
    }
    panic!("the pages have no end");
}

pub(super) fn ids(events: &[Value]) -> Vec<&str> {
    let ids = events.iter();
    ids.map(|event| event["event_id"].as_str().unwrap())
        .collect()
}

pub(super) fn bodies(events: &[Value]) -> Vec<&str> {
    let bodies = events.iter();
    bodies
        .filter_map(|event| event["content"]["body"].as_str())
        .collect()
}

#[tokio::test]
async fn what_was_said_before_is_read_from_the_other_server() {
    for version in ["6", "11", "12"] {
        let two = Two::new(version).await;
        for nth in 0..120 {
            two.alice.say(&two.room, &format!("message {nth}")).await;
            if nth % 50 == 25 {
                let topic = json!({ "topic": format!("topic {nth}") });
                two.set("m.room.topic", &topic).await;
            }
        }
        two.bob_joins().await;
        let since = two.bob.sync(None).await;
        let shown = pages(&two.bob, &two.room, "b", 30).await;
        let expected = pages(&two.alice, &two.room, "b", 1_000).await;
        assert_eq!(ids(&shown), ids(&expected), "{version}");
        assert_eq!(shown.last().unwrap()["type"], "m.room.create");
        let topics = shown.iter().filter(|event| event["type"] == "m.room.topic");
        let newest = topics.into_iter().next().unwrap();
        let replaced = &newest["unsigned"]["prev_content"]["topic"];
        assert_eq!(*replaced, "topic 25", "{newest}");

        let mut forward = pages(&two.bob, &two.room, "f", 50).await;
        forward.reverse();
        assert_eq!(ids(&forward), ids(&expected));
        // None of it is news.
        let sync = two.bob.sync(since["next_batch"].as_str()).await;
        assert!(sync["rooms"]["join"][&two.room].is_null(), "{sync}");
        let first = two.bob.sync(None).await;
        let timeline = &first["rooms"]["join"][&two.room]["timeline"]["events"];
        let timeline = timeline.as_array().unwrap();
        assert_eq!(timeline.last().unwrap()["state_key"], two.bob.id);

        // And the state of then is known.
        let old = &shown[60];
        let path = format!(
            "/_matrix/client/v3/rooms/{}/context/{}?limit=4",
            encode(&two.room),
            encode(old["event_id"].as_str().unwrap())
        );
        let here = two.bob.get(&path).send().await.ok();
        let there = two.alice.get(&path).send().await.ok();
        for list in ["events_before", "events_after"] {
            let (here, there) = (here[list].as_array(), there[list].as_array());
            assert_eq!(ids(here.unwrap()), ids(there.unwrap()));
        }
        let set = |context: &Value| -> HashSet<String> {
            let state = context["state"].as_array().unwrap();
            ids(state).into_iter().map(str::to_owned).collect()
        };
        assert_eq!(set(&here), set(&there), "{version}");
    }
}

#[tokio::test]
async fn the_context_of_a_join_reaches_back() {
    let two = Two::new("11").await;
    two.alice.say(&two.room, "before").await;
    two.bob_joins().await;
    let sync = two.bob.sync(None).await;
    let timeline = &sync["rooms"]["join"][&two.room]["timeline"]["events"];
    let join = timeline.as_array().unwrap().last().unwrap().clone();
    let path = format!(
        "/_matrix/client/v3/rooms/{}/context/{}",
        encode(&two.room),
        encode(join["event_id"].as_str().unwrap())
    );
    let context = two.bob.get(&path).send().await.ok();
    let before = context["events_before"].as_array().unwrap();
    assert_eq!(bodies(before), ["before"], "{context}");
}

#[tokio::test]
async fn what_only_members_may_read_stays_hidden() {
    let two = Two::new("11").await;
    two.alice.say(&two.room, "for all").await;
    let joined = json!({ "history_visibility": "joined" });
    two.set("m.room.history_visibility", &joined).await;
    two.alice.say(&two.room, "for members").await;
    two.bob_joins().await;
    two.bob.say(&two.room, "from bob").await;
    let shown = pages(&two.bob, &two.room, "b", 100).await;
    assert_eq!(bodies(&shown), ["from bob", "for all"]);
    assert!(!json!(shown).to_string().contains("for members"));
    assert_eq!(shown.last().unwrap()["type"], "m.room.create");
}

#[tokio::test]
async fn a_server_that_is_gone_hangs_nobody() {
    let two = Two::new("11").await;
    two.alice.say(&two.room, "before").await;
    two.bob_joins().await;
    let Two {
        here,
        there: _there,
        bob,
        room,
        ..
    } = two;
    here.open.close().await;
    let wait = Duration::from_secs(20);
    let first = page(&bob, &room, "b", None, 100);
    let first = tokio::time::timeout(wait, first).await.unwrap();
    assert_eq!(first["chunk"].as_array().unwrap().len(), 1, "{first}");
    // There is more, and where it would be is told.
    let end = first["end"].as_str().unwrap();
    let second = page(&bob, &room, "b", Some(end), 100).await;
    assert_eq!(second["chunk"], json!([]));
    assert_eq!(second["end"].as_str().unwrap(), end);
}

#[tokio::test]
async fn history_that_is_not_signed_or_of_another_room_is_dropped() {
    let mut visit = Visit::new("11").await;
    let (_, foreign) = visit.message("foreign", &[&visit.join], 30);
    visit.enter("11").await;
    let chain = visit.chain(&visit.join, 6);
    let events: Vec<Value> = chain.iter().map(|(_, event)| event.clone()).collect();
    visit.transaction("one", &json!(events)).await;

    // Bob's server comes through the real one, which is gone then.
    let third = Peer::start_at("localhost", |builder| builder).await;
    let bob = third.server.register("bob").await;
    join(&bob, &visit.room, visit.here.name.as_str()).await;
    let (_, mut unsigned) = visit.message("unsigned", &[&chain[4].0], 40);
    unsigned["signatures"] = json!({});
    let (_, unconnected) = visit.message("unconnected", &[&chain[0].0], 40);
    let mut altered = chain[3].1.clone();
    altered["content"]["body"] = json!("altered");
    let answer = json!({
        "origin": visit.there.name,
        "origin_server_ts": 1,
        "pdus": [foreign, unsigned, unconnected, 7, chain[5].1, chain[4].1, altered],
    });
    visit
        .there
        .answer("backfill", move |_| Some(answer.clone()));
    let mut state: Vec<String> = visit.told["state"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| visit.id_of(event))
        .collect();
    state.push(visit.join.clone());
    visit.there.answer("state_ids", move |_| {
        Some(json!({ "pdu_ids": state, "auth_chain_ids": [] }))
    });
    visit.here.open.close().await;
    let first = page(&bob, &visit.room, "b", None, 5).await;
    let events = first["chunk"].as_array().unwrap();
    assert_eq!(bodies(events), ["message 5", "message 4"], "{first}");
    // What is left of the altered event: its content is gone.
    let last = events.last().unwrap();
    assert_eq!(last["event_id"], chain[3].0.as_str());
    assert_eq!(last["content"], json!({}));
    let asked = visit.there.asked("backfill");
    assert!(asked[0].is_about(&chain[5].0), "{asked:?}");
}
