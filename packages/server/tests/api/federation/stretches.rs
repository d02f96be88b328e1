//! History between two stretches of a timeline that this server followed: after nobody of it was
//! in the room for a while, and after it had to step over what nobody gave it.

use std::time::Duration;

use ruma::RoomId;
use serde_json::{Value, json};

use super::{
    backfill::{Two, bodies, ids, join, page, pages},
    pair::Peer,
    stranger::Visit,
};
use crate::support::{TestUser, encode};

impl Two {
    async fn bob_leaves(&self) {
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(&self.room));
        self.bob.post(&path).json(&json!({})).send().await.ok();
        until(|| async { !joined(&self.alice, &self.room).await.contains(&self.bob.id) }).await;
    }

    /// Bob was in the room, went, and came back, while alice spoke all the time.
    async fn with_a_gap(version: &str, messages: u32) -> Self {
        let two = Self::new(version).await;
        two.alice.say(&two.room, "before").await;
        two.bob_joins().await;
        two.bob.say(&two.room, "of the first stay").await;
        until_said(&two.alice, &two.room, "of the first stay").await;
        two.bob_leaves().await;
        for nth in 0..messages {
            two.alice.say(&two.room, &format!("away {nth}")).await;
            if nth % 50 == 25 {
                let topic = json!({ "topic": format!("topic {nth}") });
                two.set("m.room.topic", &topic).await;
            }
        }
        two.bob_joins().await;
        two.bob.say(&two.room, "of the second stay").await;
        until_said(&two.alice, &two.room, "of the second stay").await;
        two
    }
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to be");
}

async fn joined(user: &TestUser, room: &str) -> String {
    let path = format!("/_matrix/client/v3/rooms/{}/joined_members", encode(room));
    user.get(&path).send().await.ok()["joined"].to_string()
}

async fn until_said(user: &TestUser, room: &str, body: &str) {
    until(|| async {
        let newest = page(user, room, "b", None, 5).await;
        bodies(newest["chunk"].as_array().unwrap()).contains(&body)
    })
    .await;
}

fn timeline<'a>(sync: &'a Value, room: &str) -> &'a Value {
    &sync["rooms"]["join"][room]["timeline"]
}

#[tokio::test]
async fn what_was_said_while_nobody_was_there_is_read_later() {
    for version in ["6", "11", "12"] {
        let two = Two::with_a_gap(version, 120).await;
        let since = two.bob.sync(None).await;
        let shown = pages(&two.bob, &two.room, "b", 30).await;
        let expected = pages(&two.alice, &two.room, "b", 1_000).await;
        assert_eq!(ids(&shown), ids(&expected), "{version}");
        assert_eq!(shown.last().unwrap()["type"], "m.room.create");
        let topics = shown.iter().filter(|event| event["type"] == "m.room.topic");
        let newest = topics.into_iter().next().unwrap();
        assert_eq!(newest["unsigned"]["prev_content"]["topic"], "topic 25");

        // Up again, in pages that end before, within and after the gap.
        for limit in [7, 50, 1_000] {
            let mut forward = pages(&two.bob, &two.room, "f", limit).await;
            forward.reverse();
            assert_eq!(ids(&forward), ids(&expected), "{version}, {limit} at once");
        }
        // None of it is news.
        let sync = two.bob.sync(since["next_batch"].as_str()).await;
        assert!(sync["rooms"]["join"][&two.room].is_null(), "{sync}");

        // What surrounds an event of the gap, and its edges.
        for nth in [3, 60, 123, 124] {
            let path = format!(
                "/_matrix/client/v3/rooms/{}/context/{}?limit=6",
                encode(&two.room),
                encode(shown[nth]["event_id"].as_str().unwrap())
            );
            let here = two.bob.get(&path).send().await.ok();
            let there = two.alice.get(&path).send().await.ok();
            for list in ["events_before", "events_after"] {
                let (here, there) = (here[list].as_array(), there[list].as_array());
                assert_eq!(ids(here.unwrap()), ids(there.unwrap()), "{version}, {nth}");
            }
        }
    }
}

#[tokio::test]
async fn the_timeline_of_a_sync_begins_after_the_gap() {
    let two = Two::with_a_gap("11", 12).await;
    let sync = two.bob.sync(None).await;
    let timeline = timeline(&sync, &two.room);
    assert_eq!(timeline["limited"], true, "{timeline}");
    let events = timeline["events"].as_array().unwrap();
    assert_eq!(events[0]["state_key"], two.bob.id.as_str(), "{timeline}");
    assert_eq!(bodies(events), ["of the second stay"]);
    let from = timeline["prev_batch"].as_str();
    let before = page(&two.bob, &two.room, "b", from, 13).await;
    let before = before["chunk"].as_array().unwrap();
    assert_eq!(bodies(&before[..1]), ["away 11"]);
    // The twelve, and that bob left.
    assert_eq!(bodies(before).len(), 12);
    assert_eq!(before[12]["content"]["membership"], "leave");

    // Who was there then, for a client that asks by that token.
    let path = format!("/_matrix/client/v3/rooms/{}/members", encode(&two.room));
    let members = two
        .bob
        .get(&path)
        .query("at", from.unwrap())
        .send()
        .await
        .ok();
    assert!(
        !members["chunk"].as_array().unwrap().is_empty(),
        "{members}"
    );
}

#[tokio::test]
async fn what_came_before_the_first_stay_is_not_mixed_with_the_gap() {
    let two = Two::with_a_gap("11", 12).await;
    let expected = pages(&two.alice, &two.room, "b", 1_000).await;
    // Somebody looks at the first stay before anybody looks at the gap.
    let first = expected
        .iter()
        .find(|event| event["content"]["body"] == "of the first stay")
        .unwrap();
    let path = format!(
        "/_matrix/client/v3/rooms/{}/context/{}?limit=20",
        encode(&two.room),
        encode(first["event_id"].as_str().unwrap())
    );
    let context = two.bob.get(&path).send().await.ok();
    let before = context["events_before"].as_array().unwrap();
    assert_eq!(bodies(before), ["before"]);
    let shown = pages(&two.bob, &two.room, "b", 30).await;
    assert_eq!(ids(&shown), ids(&expected));
}

#[tokio::test]
async fn a_moment_in_the_gap_is_found() {
    let two = Two::with_a_gap("11", 12).await;
    let wanted = &pages(&two.alice, &two.room, "b", 1_000).await[8];
    let path = format!(
        "/_matrix/client/v1/rooms/{}/timestamp_to_event?dir=f&ts={}",
        encode(&two.room),
        wanted["origin_server_ts"]
    );
    let here = two.bob.get(&path).send().await.ok();
    let there = two.alice.get(&path).send().await.ok();
    assert_eq!(here, there);
}

#[tokio::test]
async fn a_gap_that_nobody_fills_hides_nothing_behind_it() {
    let two = Two::with_a_gap("11", 12).await;
    let Two {
        here,
        there: _there,
        bob,
        room,
        ..
    } = two;
    here.open.close().await;
    let newest = page(&bob, &room, "b", None, 3).await;
    let newest = newest["chunk"].as_array().unwrap();
    assert_eq!(newest[0]["content"]["body"], "of the second stay");
    assert_eq!(newest[1]["content"]["membership"], "join");
    assert_eq!(newest[2]["content"]["membership"], "leave");
    let older = page(&bob, &room, "b", None, 4).await;
    let older = older["chunk"].as_array().unwrap();
    assert_eq!(bodies(older), ["of the second stay", "of the first stay"]);
}

#[tokio::test]
async fn what_was_stepped_over_is_read_later() {
    for version in ["6", "11", "12"] {
        let visit = Visit::new(version).await;
        visit.alice.say(&visit.room, "before").await;
        let since = visit.alice.sync(None).await;
        // Eve's server sends the last of 40 messages and gives those before to nobody, but it tells
        // which state is there.
        let chain = visit.chain(&visit.join, 40);
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
        visit.transaction("one", &json!([chain[39].1])).await;
        let shown = visit.bodies_until(&since, "message 39").await;
        assert_eq!(shown, ["message 39"]);
        let sync = visit.alice.sync(since["next_batch"].as_str()).await;
        let timeline = timeline(&sync, &visit.room);
        assert_eq!(
            timeline["limited"], true,
            "a client sees that there is more"
        );
        let from = timeline["prev_batch"].as_str();

        // Later it has them.
        let known = chain.clone();
        visit.there.answer("backfill", move |asked| {
            let wanted = known.iter().position(|(id, _)| asked.is_about(id))?;
            let told = known[..=wanted].iter().rev().take(15);
            let told: Vec<&Value> = told.map(|(_, event)| event).collect();
            Some(json!({ "origin": "x", "origin_server_ts": 1, "pdus": told }))
        });
        let before = page(&visit.alice, &visit.room, "b", from, 50).await;
        let mut before: Vec<&str> = bodies(before["chunk"].as_array().unwrap());
        before.reverse();
        let mut expected: Vec<String> = vec!["before".to_owned()];
        expected.extend((0..39).map(|nth| format!("message {nth}")));
        assert_eq!(before, expected, "{version}");
    }
}

/// A room of alice that bob's server and eve's are in.
struct Three {
    visit: Visit,
    there: Peer,
    bob: TestUser,
}

impl Three {
    async fn new() -> Self {
        let visit = Visit::new("11").await;
        let there = Peer::start_at("localhost", |builder| builder).await;
        let bob = there.server.register("bob").await;
        join(&bob, &visit.room, visit.here.name.as_str()).await;
        Self { visit, there, bob }
    }

    /// Eve's server sends events to bob's.
    async fn tell_bob(&self, id: &str, pdus: &Value) {
        let body = json!({
            "origin": self.visit.there.name,
            "origin_server_ts": 1,
            "pdus": pdus,
        });
        let path = format!("/_matrix/federation/v1/send/{id}");
        let answer = self.visit.there.put(&self.there, &path, &body).await.ok();
        for (_, result) in answer["pdus"].as_object().unwrap() {
            assert_eq!(*result, json!({}), "{answer}");
        }
    }
}

#[tokio::test]
async fn who_comes_back_is_not_shown_the_time_between_as_news() {
    let three = Three::new().await;
    let Three { visit, there, bob } = &three;
    let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(&visit.room));
    bob.post(&path).json(&json!({})).send().await.ok();
    until(|| async { !joined(&visit.alice, &visit.room).await.contains(&bob.id) }).await;
    // Eve goes on, which alice's server hears.
    let chain = visit.chain(&visit.join, 30);
    let pdus: Vec<&Value> = chain.iter().map(|(_, event)| event).collect();
    visit.transaction("one", &json!(pdus)).await;
    join(bob, &visit.room, visit.here.name.as_str()).await;
    let since = bob.sync(None).await;
    let since = since["next_batch"].as_str();
    // And says something that stands in the middle of that.
    let (late, event) = visit.message("late", &[&chain[9].0], 30);
    let mut state: Vec<String> = visit.told["state"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| visit.id_of(event))
        .collect();
    state.push(visit.join.clone());
    visit.there.answer("state_ids", move |asked| {
        let state = json!({ "pdu_ids": state, "auth_chain_ids": [] });
        asked.is_about(&late).then_some(state)
    });
    three.tell_bob("two", &json!([event])).await;
    until_said(bob, &visit.room, "late").await;
    let sync = bob.sync(since).await;
    let events = timeline(&sync, &visit.room)["events"].clone();
    assert_eq!(bodies(events.as_array().unwrap()), ["late"]);
    assert_eq!(visit.there.asked("get_missing_events").len(), 0);
    // A process that starts later knows where this server came back.
    let app = &there.server.app;
    let room_id = <&RoomId>::try_from(visit.room.as_str()).unwrap();
    let held = app.sync.room_by_id(room_id).await.unwrap().unwrap();
    let stored = app.store.room_by_id(room_id).await.unwrap().unwrap();
    assert!(held.entered > 1);
    assert_eq!(stored.entered, held.entered);
    // All of it is there, once.
    let shown = pages(bob, &visit.room, "b", 20).await;
    let mut said = bodies(&shown);
    said.sort_unstable();
    let mut expected: Vec<String> = (0..30).map(|nth| format!("message {nth}")).collect();
    expected.push("late".to_owned());
    expected.sort_unstable();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_redaction_reaches_what_comes_after_it() {
    let three = Three::new().await;
    let Three { visit, bob, .. } = &three;
    let chain = visit.chain(&visit.join, 3);
    let redacts = json!({ "redacts": chain[1].0 });
    let kind = "m.room.redaction";
    let (last, redaction) = visit.event(&[&chain[2].0], 23, kind, None, &redacts);
    let mut state: Vec<String> = visit.told["state"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| visit.id_of(event))
        .collect();
    state.push(visit.join.clone());
    visit.there.answer("state_ids", move |asked| {
        let state = json!({ "pdu_ids": state, "auth_chain_ids": [] });
        asked.is_about(&last).then_some(state)
    });
    // Only the redaction comes; what it redacts is found when somebody reads that far back.
    three.tell_bob("one", &json!([redaction])).await;
    let told: Vec<Value> = chain.iter().rev().map(|(_, event)| event.clone()).collect();
    visit.there.answer("backfill", move |_| {
        Some(json!({ "origin": "x", "origin_server_ts": 1, "pdus": told }))
    });
    let is_there = || async {
        let newest = page(bob, &visit.room, "b", None, 1).await;
        newest["chunk"][0]["type"] == kind
    };
    until(is_there).await;
    let shown = pages(bob, &visit.room, "b", 20).await;
    assert_eq!(bodies(&shown), ["message 2", "message 0"]);
    let mut redacted = shown
        .iter()
        .filter(|event| event["event_id"] == chain[1].0.as_str());
    assert_eq!(redacted.next().unwrap()["content"], json!({}));
}

#[tokio::test]
async fn a_redaction_from_the_time_between_reaches_what_was_here() {
    let two = Two::new("11").await;
    two.bob_joins().await;
    let said = two.alice.say(&two.room, "regretted").await;
    until_said(&two.bob, &two.room, "regretted").await;
    two.bob_leaves().await;
    let path = format!(
        "/_matrix/client/v3/rooms/{}/redact/{}/1",
        encode(&two.room),
        encode(&said)
    );
    two.alice.put(&path).json(&json!({})).send().await.ok();
    two.bob_joins().await;
    // The page that fetches the redaction already shows what it leaves.
    let shown = pages(&two.bob, &two.room, "b", 20).await;
    assert!(!json!(shown).to_string().contains("regretted"), "{shown:?}");
    assert!(shown.iter().any(|event| event["event_id"] == said.as_str()));
}

#[tokio::test]
async fn what_only_members_may_read_of_the_time_between_stays_hidden() {
    let two = Two::new("11").await;
    two.bob_joins().await;
    two.bob.say(&two.room, "of the first stay").await;
    until_said(&two.alice, &two.room, "of the first stay").await;
    let joined = json!({ "history_visibility": "joined" });
    two.set("m.room.history_visibility", &joined).await;
    two.alice.say(&two.room, "for members").await;
    until_said(&two.bob, &two.room, "for members").await;
    two.bob_leaves().await;
    two.alice.say(&two.room, "among ourselves").await;
    two.bob_joins().await;
    two.bob.say(&two.room, "of the second stay").await;
    let shown = pages(&two.bob, &two.room, "b", 20).await;
    let expected = ["of the second stay", "for members", "of the first stay"];
    assert_eq!(bodies(&shown), expected);
    assert!(!json!(shown).to_string().contains("among ourselves"));
}
