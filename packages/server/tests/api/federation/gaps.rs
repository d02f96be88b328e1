//! Events whose past this server must fetch, and what others answer then.

use matryx_server::federation::inbound::{Inbound, InboundDependencies};
use serde_json::{Value, json};

use super::stranger::Visit;
use crate::support::encode;

/// The whole events of a chain.
fn pdus(chain: &[(String, Value)]) -> Vec<Value> {
    chain.iter().map(|(_, event)| event.clone()).collect()
}

/// The messages of a chain, as they are read.
fn bodies(count: u64) -> Vec<String> {
    (0..count).map(|nth| format!("message {nth}")).collect()
}

#[tokio::test]
async fn what_is_missing_is_asked_for_and_comes_before_what_was_sent() {
    for version in ["6", "10", "12"] {
        let visit = Visit::new(version).await;
        let since = visit.alice.sync(None).await;
        let chain = visit.chain(&visit.join, 4);
        let missing = pdus(&chain[..3]);
        visit.there.answer("get_missing_events", move |_| {
            Some(json!({ "events": missing }))
        });
        let answer = visit.transaction("one", &json!([chain[3].1])).await;
        assert_eq!(answer["pdus"], json!({ (chain[3].0.as_str()): {} }));
        let shown = visit.bodies_until(&since, "message 3").await;
        assert_eq!(shown, bodies(4));
        let asked = visit.there.asked("get_missing_events");
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0].body["latest_events"], json!([chain[3].0]));
        assert_eq!(asked[0].body["earliest_events"], json!([visit.join]));
        assert!(asked[0].body["limit"].as_u64().unwrap() <= 20);
    }
}

#[tokio::test]
async fn a_long_gap_is_filled_in_several_steps() {
    let visit = Visit::new("11").await;
    let since = visit.alice.sync(None).await;
    let chain = visit.chain(&visit.join, 65);
    let known = chain.clone();
    visit.there.answer("get_missing_events", move |asked| {
        let latest = asked.body["latest_events"][0].as_str()?;
        let end = known.iter().position(|(id, _)| id == latest)?;
        Some(json!({ "events": pdus(&known[end.saturating_sub(20)..end]) }))
    });
    visit.transaction("one", &json!([chain[64].1])).await;
    visit.bodies_until(&since, "message 64").await;
    assert_eq!(visit.there.asked("get_missing_events").len(), 4);
    let path = format!(
        "/_matrix/client/v3/rooms/{}/messages?dir=b&limit=65",
        encode(&visit.room)
    );
    let page = visit.alice.get(&path).send().await.ok();
    let mut shown: Vec<_> = page["chunk"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["content"]["body"].as_str().unwrap().to_owned())
        .collect();
    shown.reverse();
    assert_eq!(shown, bodies(65));
}

#[tokio::test]
async fn nothing_is_believed_that_was_not_asked_for_or_is_not_signed() {
    let mut visit = Visit::new("11").await;
    let (elsewhere, foreign) = visit.message("foreign", &[&visit.join], 19);
    visit.enter("11").await;
    let since = visit.alice.sync(None).await;
    let chain = visit.chain(&visit.join, 3);
    let mut altered = chain[0].1.clone();
    altered["content"]["body"] = json!("altered");
    let (_, mut unsigned) = visit.message("unsigned", &[&visit.join], 19);
    unsigned["signatures"] = json!({});
    let (_, mut in_alices_name) = visit.message("forged", &[&visit.join], 19);
    in_alices_name["sender"] = json!(visit.alice.id);
    let (_, unconnected) = visit.message("unconnected", &[&visit.join], 19);
    let answer = json!({ "events": [
        foreign, unsigned, in_alices_name, unconnected, 7, null, { "room_id": visit.room },
        chain[1].1, altered,
    ] });
    visit
        .there
        .answer("get_missing_events", move |_| Some(answer.clone()));
    visit.transaction("one", &json!([chain[2].1])).await;
    let shown = visit.bodies_until(&since, "message 2").await;
    // The altered event is what is left of the real one: its content is gone.
    assert_eq!(shown, ["m.room.message", "message 1", "message 2"]);
    let rooms = &visit.here.server.app.rooms;
    let room = ruma::RoomId::parse(&visit.room).unwrap();
    let room = rooms.snapshot(&room).await.unwrap();
    let foreign = ruma::EventId::parse(elsewhere).unwrap();
    let unknown = rooms.unknown(&room, &[foreign]).await.unwrap();
    assert_eq!(unknown.len(), 1);
}

#[tokio::test]
async fn over_a_gap_that_nobody_fills_the_state_is_asked_for() {
    for version in ["6", "11", "12"] {
        let visit = Visit::new(version).await;
        let since = visit.alice.sync(None).await;
        // Lost between the two: a message, on which eve takes another name.
        let (lost, _) = visit.message("lost", &[&visit.join], 20);
        let renamed = json!({ "membership": "join", "displayname": "Eve the second" });
        let kind = "m.room.member";
        let (name_id, name) = visit.event(&[&lost], 21, kind, Some(&visit.eve), &renamed);
        let (after, message) = visit.message("after", &[&name_id], 22);
        // And what eve may not do: it is of no effect, whatever the state is said to be.
        let levels = json!({ "users": { (visit.eve.as_str()): 100 } });
        let kind = "m.room.power_levels";
        let (power_id, forged) = visit.event(&[&visit.join], 20, kind, Some(""), &levels);
        let mut state: Vec<String> = visit.told["state"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| visit.id_of(event))
            .collect();
        state.extend([name_id.clone(), power_id.clone()]);
        let (wanted, auth_chain) = (after, json!([visit.join]));
        visit.there.answer("state_ids", move |asked| {
            let of_last = asked.is_about(&wanted);
            of_last.then(|| json!({ "pdu_ids": state, "auth_chain_ids": auth_chain }))
        });
        visit.there.answer("event", move |asked| {
            let events = [(&name_id, &name), (&power_id, &forged)];
            let mut events = events.into_iter();
            let (_, event) = events.find(|(id, _)| asked.is_about(id))?;
            Some(json!({ "origin": "x", "origin_server_ts": 1, "pdus": [event] }))
        });
        visit.transaction("one", &json!([message])).await;
        let shown = visit.bodies_until(&since, "after").await;
        assert_eq!(shown.last().unwrap(), "after");
        let room = encode(&visit.room);
        let members = format!("/_matrix/client/v3/rooms/{room}/joined_members");
        let members = visit.alice.get(&members).send().await.ok();
        let eve = &members["joined"][&visit.eve];
        assert_eq!(eve["display_name"], "Eve the second", "{members}");
        let power = format!("/_matrix/client/v3/rooms/{room}/state/m.room.power_levels");
        let power = visit.alice.get(&power).send().await.ok();
        assert!(power["users"][&visit.eve].is_null(), "{power}");
    }
}

#[tokio::test]
async fn a_missing_authority_is_asked_for() {
    let visit = Visit::new("11").await;
    let since = visit.alice.sync(None).await;
    // Eve joined once more, which nobody told this server; her message stands on that.
    let renamed = json!({ "membership": "join", "displayname": "Eve the second" });
    let kind = "m.room.member";
    let (unknown, member) = visit.event(&[&visit.join], 20, kind, Some(&visit.eve), &renamed);
    let (id, message) = {
        let (_, mut event) = visit.message("by another authority", &[&visit.join], 21);
        event["auth_events"][0] = json!(unknown);
        event["signatures"] = json!({});
        visit.sign(&event)
    };
    visit.there.answer("event_auth", move |asked| {
        let asked_for = asked.is_about(&id);
        asked_for.then(|| json!({ "auth_chain": [member] }))
    });
    visit.transaction("one", &json!([message])).await;
    visit.bodies_until(&since, "by another authority").await;
    assert_eq!(visit.there.asked("event_auth").len(), 1);
}

#[tokio::test]
async fn a_room_with_a_gap_delays_no_other() {
    let mut visit = Visit::new("11").await;
    let chain = visit.chain(&visit.join, 2);
    let first = visit.room.clone();
    visit.enter("11").await;
    let since = visit.alice.sync(None).await;
    let (id, message) = visit.message("at once", &[&visit.join], 20);
    let pdus = json!([chain[1].1, message]);
    let answer = visit.transaction("one", &pdus).await;
    let expected = json!({ (chain[1].0.as_str()): {}, (id.as_str()): {} });
    assert_eq!(answer["pdus"], expected);
    assert_eq!(visit.bodies_until(&since, "at once").await, ["at once"]);
    // The first event of the other room comes by itself, and what waited for it with it.
    let since = visit.alice.sync(None).await;
    let visit = Visit {
        room: first,
        ..visit
    };
    visit.transaction("two", &json!([chain[0].1])).await;
    let shown = visit.bodies_until(&since, "message 1").await;
    assert_eq!(shown, bodies(2));
}

#[tokio::test]
async fn a_room_that_everybody_left_is_not_asked_about_any_more() {
    let visit = Visit::new("11").await;
    let chain = visit.chain(&visit.join, 70);
    let known = chain.clone();
    // One event at a time: that takes long.
    visit.there.answer("get_missing_events", move |asked| {
        let latest = asked.body["latest_events"][0].as_str()?;
        let end = known.iter().position(|(id, _)| id == latest)?;
        Some(json!({ "events": pdus(&known[end.saturating_sub(1)..end]) }))
    });
    visit.transaction("one", &json!([chain[69].1])).await;
    let leave = format!("/_matrix/client/v3/rooms/{}/leave", encode(&visit.room));
    let app = &visit.here.server.app;
    let room = ruma::RoomId::parse(&visit.room).unwrap();
    let room = app.rooms.snapshot(&room).await.unwrap().no;
    visit.alice.post(&leave).json(&json!({})).send().await.ok();
    let over = async {
        while !app.store.staged_events(room).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let wait = std::time::Duration::from_secs(20);
    tokio::time::timeout(wait, over).await.unwrap();
    let asked = visit.there.asked("get_missing_events").len();
    assert!(asked < 40, "{asked}");
    assert!(visit.there.asked("state_ids").is_empty());
}

#[tokio::test]
async fn many_branches_are_merged_without_a_word() {
    let visit = Visit::new("11").await;
    let since = visit.alice.sync(None).await;
    let branches: Vec<Value> = (0..25)
        .map(|nth| {
            visit
                .message(&format!("branch {nth}"), &[&visit.join], 20)
                .1
        })
        .collect();
    visit.transaction("one", &json!(branches)).await;
    visit.bodies_until(&since, "branch 24").await;
    let room = ruma::RoomId::parse(&visit.room).unwrap();
    let snapshot = visit.here.server.app.rooms.snapshot(&room).await.unwrap();
    assert!(snapshot.extremities.len() <= 10);
    assert_eq!(snapshot.head, snapshot.recent.back().unwrap().pos);
    // The event that merged them is in the room, and shown to nobody.
    let page = format!(
        "/_matrix/client/v3/rooms/{}/messages?dir=b",
        encode(&visit.room)
    );
    let page = visit.alice.get(&page).send().await.ok();
    assert!(!page.to_string().contains("dummy"), "{page}");
    let merged = snapshot.recent.iter();
    let mut merged = merged.filter(|event| event.pdu.kind().to_string().contains("dummy"));
    assert!(merged.next().unwrap().pdu.prev_events().len() > 10);
}

#[tokio::test]
async fn what_waits_is_taken_up_again_after_a_restart() {
    let visit = Visit::new("11").await;
    let since = visit.alice.sync(None).await;
    let chain = visit.chain(&visit.join, 2);
    let answer = visit.transaction("one", &json!([chain[1].1])).await;
    assert_eq!(answer["pdus"], json!({ (chain[1].0.as_str()): {} }));
    let app = &visit.here.server.app;
    let room = ruma::RoomId::parse(&visit.room).unwrap();
    let room = app.rooms.snapshot(&room).await.unwrap().no;
    // Nobody answers: it is put off.
    let put_off = async {
        while app.store.staged_events(room).await.unwrap()[0].attempts == 0 {
            tokio::task::yield_now().await;
        }
    };
    let wait = std::time::Duration::from_secs(20);
    tokio::time::timeout(wait, put_off).await.unwrap();

    let missing = chain[0].1.clone();
    visit.there.answer("get_missing_events", move |_| {
        Some(json!({ "events": [missing] }))
    });
    visit.here.server.clock.advance(wait * 10);
    // As a process does that starts on the same database.
    Inbound::start(InboundDependencies {
        rooms: app.rooms.clone(),
        key_ring: app.key_ring.clone(),
        acls: std::sync::Arc::clone(&app.acls),
        federation: app.federation.clone(),
        clock: std::sync::Arc::clone(&app.clock),
        tasks: app.tasks.clone(),
        shutdown: app.shutdown.clone(),
    })
    .await
    .unwrap();
    let shown = visit.bodies_until(&since, "message 1").await;
    assert_eq!(shown, bodies(2));
}
