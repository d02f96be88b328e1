//! What another server reads of a room: events, states, auth chains, pages of the past.

use std::time::Duration;

use serde_json::{Value, json};

use super::resident::{Scene, public};
use crate::support::encode;

fn with_visibility(visibility: &str) -> Value {
    json!({
        "preset": "public_chat",
        "room_version": "11",
        "initial_state": [{
            "type": "m.room.history_visibility",
            "content": { "history_visibility": visibility },
        }],
    })
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_server_in_the_room_reads_its_events_and_states() {
    for version in ["6", "10", "11", "12"] {
        let scene = Scene::new(public(version)).await;
        let told = scene.join().await;
        let join = scene.id_of(&told["event"]);
        let mut said = Vec::new();
        for text in ["one", "two", "three"] {
            said.push(scene.alice.say(&scene.room, text).await);
        }
        let answer = scene.event(&said[1]).await.ok();
        assert_eq!(answer["origin"], scene.here.name.as_str());
        assert_eq!(answer["pdus"].as_array().unwrap().len(), 1);
        assert_eq!(scene.id_of(&answer["pdus"][0]), said[1]);
        assert_eq!(answer["pdus"][0]["content"]["body"], "two");

        // The state before the join is what the join was told.
        let before_join = scene
            .ask("state", &format!("?event_id={}", encode(&join)))
            .await;
        let before_join = before_join.ok();
        let state = scene.ids(before_join["pdus"].as_array().unwrap());
        let told_state = scene.ids(told["state"].as_array().unwrap());
        assert_eq!(sorted(state.clone()), sorted(told_state));
        let after = scene
            .ask("state_ids", &format!("?event_id={}", encode(&said[2])))
            .await
            .ok();
        let mut with_join = state;
        with_join.push(join.clone());
        assert_eq!(sorted(texts(&after["pdu_ids"])), sorted(with_join));
        let whole = scene
            .ask("state", &format!("?event_id={}", encode(&said[2])))
            .await
            .ok();
        assert_eq!(
            sorted(scene.ids(whole["auth_chain"].as_array().unwrap())),
            sorted(texts(&after["auth_chain_ids"]))
        );

        let first = format!("/{}", encode(&said[0]));
        let chain = scene.ask("event_auth", &first).await.ok();
        let kinds = chain["auth_chain"].as_array().unwrap().iter();
        let kinds: Vec<&str> = kinds.map(|event| event["type"].as_str().unwrap()).collect();
        assert!(kinds.contains(&"m.room.power_levels"), "{kinds:?}");
        assert!(!kinds.contains(&"m.room.message"), "{kinds:?}");

        let page = scene.backfill(&[&said[2]], 4).await;
        let newest = [&said[2], &said[1], &said[0], &join];
        assert_eq!(scene.ids(&page), newest.map(String::clone));
        let all = scene.backfill(&[&said[2]], 100).await;
        assert_eq!(all.last().unwrap()["type"], "m.room.create");

        let gap = json!({ "earliest_events": [join], "latest_events": [said[2]] });
        assert_eq!(scene.ids(&scene.missing(&gap).await), said[..2]);
    }
}

#[tokio::test]
async fn the_state_is_the_one_before_the_event() {
    let scene = Scene::new(public("11")).await;
    scene.join().await;
    let topic = async |text: &str| {
        let content = json!({ "topic": text });
        scene.put_state("m.room.topic", &content).await
    };
    let (first, second) = (topic("first").await, topic("second").await);
    let third = topic("third").await;
    for (event, before) in [
        (&first, None),
        (&second, Some(&first)),
        (&third, Some(&second)),
    ] {
        let query = format!("?event_id={}", encode(event));
        let state = scene.ask("state", &query).await.ok();
        let state = state["pdus"].as_array().unwrap().clone();
        let topics = state.iter().filter(|event| event["type"] == "m.room.topic");
        let topics: Vec<String> = topics.map(|event| scene.id_of(event)).collect();
        assert_eq!(topics.first(), before);
        assert!(topics.len() < 2);
    }
}

#[tokio::test]
async fn who_is_not_in_the_room_reads_nothing() {
    let scene = Scene::new(with_visibility("world_readable")).await;
    let said = scene.alice.say(&scene.room, "hello").await;
    let id = encode(&said);
    let refused = async |status: u16, errcode: &str| {
        scene.event(&said).await.error(status, errcode);
        for (what, query) in [
            ("state", format!("?event_id={id}")),
            ("state_ids", format!("?event_id={id}")),
            ("event_auth", format!("/{id}")),
            ("backfill", format!("?v={id}&limit=1")),
            ("timestamp_to_event", "?ts=1&dir=f".to_owned()),
        ] {
            scene.ask(what, &query).await.error(status, errcode);
        }
        let room = encode(&scene.room);
        let path = format!("/_matrix/federation/v1/get_missing_events/{room}");
        let body = json!({ "earliest_events": [], "latest_events": [said] });
        scene.post(&path, &body).await.error(status, errcode);
    };
    refused(403, "M_FORBIDDEN").await;
    scene.join().await;
    scene.event(&said).await.ok();
    // Kept out by name, though in the room.
    let acl = json!({ "allow": ["*"], "deny": ["localhost"], "allow_ip_literals": true });
    scene.put_state("m.room.server_acl", &acl).await;
    refused(403, "M_FORBIDDEN").await;
    let acl = json!({ "allow": ["*"], "allow_ip_literals": true });
    scene.put_state("m.room.server_acl", &acl).await;
    scene.event(&said).await.ok();
    scene.act("kick", &json!({ "user_id": scene.eve })).await;
    refused(403, "M_FORBIDDEN").await;
    scene.join().await;
    scene.event(&said).await.ok();
    // With its last user, this server leaves the room too.
    scene.act("leave", &json!({})).await;
    refused(404, "M_NOT_FOUND").await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let scene = Scene::new(public("11")).await;
    scene.join().await;
    let other = scene.alice.create_room(public("11")).await;
    let secret = scene.alice.say(&other, "for nobody").await;
    scene.event("$nothing").await.error(404, "M_NOT_FOUND");
    scene.event(&secret).await.error(403, "M_FORBIDDEN");
    let id = encode(&secret);
    for (what, query) in [
        ("state", format!("?event_id={id}")),
        ("state_ids", "?event_id=%24nothing".to_owned()),
        ("event_auth", format!("/{id}")),
    ] {
        scene.ask(what, &query).await.error(404, "M_NOT_FOUND");
    }
    let page = scene.backfill(&[&secret, "$nothing"], 10).await;
    assert_eq!(page, Vec::<Value>::new());
    let gap = json!({ "earliest_events": [], "latest_events": [secret, "$nothing"] });
    assert_eq!(scene.missing(&gap).await, Vec::<Value>::new());
    // Too little was said of what is wanted.
    scene.ask("state", "").await.error(400, "M_MISSING_PARAM");
    let malformed = scene.ask("backfill", "?v=%24a&limit=-1").await;
    assert_eq!(malformed.status, 400);
    let path = format!(
        "/_matrix/federation/v1/get_missing_events/{}",
        encode(&scene.room)
    );
    for body in [
        json!({ "latest_events": "$a", "earliest_events": [] }),
        json!({ "latest_events": [], "earliest_events": [], "limit": -1 }),
        json!({ "latest_events": [] }),
    ] {
        assert_eq!(scene.post(&path, &body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn what_was_said_before_a_server_came_it_gets_without_content() {
    for (visibility, is_invited, is_seen) in [
        ("joined", true, false),
        ("invited", true, true),
        ("invited", false, false),
        ("shared", false, true),
    ] {
        let scene = Scene::new(with_visibility(visibility)).await;
        let early = scene.alice.say(&scene.room, "early").await;
        if is_invited {
            scene.invite_by_hand().await;
        }
        let secret = scene.alice.say(&scene.room, "secret").await;
        scene.join().await;
        let open = scene.alice.say(&scene.room, "open").await;
        scene.event(&open).await.ok();
        let early_is_seen = visibility == "shared";
        for (id, is_seen) in [(&early, early_is_seen), (&secret, is_seen)] {
            let answer = scene.event(id).await.ok();
            let content = &answer["pdus"][0]["content"];
            assert_eq!(content["body"].is_string(), is_seen, "{answer}");
            let page = scene.backfill(&[&open], 100).await;
            let gap = json!({
                "earliest_events": [],
                "latest_events": [open],
                "limit": 20,
            });
            for events in [page, scene.missing(&gap).await] {
                let mut events = events.iter();
                let event = events.find(|event| scene.id_of(event) == *id).unwrap();
                let content = &event["content"];
                assert_eq!(
                    content["body"].is_string(),
                    is_seen,
                    "{visibility}: {event}"
                );
                assert!(is_seen || *content == json!({}), "{visibility}: {event}");
                assert!(event["signatures"].is_object());
            }
        }
        // Left and come again: what was said meanwhile is no more theirs than before.
        scene.act("kick", &json!({ "user_id": scene.eve })).await;
        let meanwhile = scene.alice.say(&scene.room, "meanwhile").await;
        scene.join().await;
        scene.event(&open).await.ok();
        let answer = scene.event(&meanwhile).await.ok();
        let content = &answer["pdus"][0]["content"];
        let is_seen = content["body"].is_string();
        assert_eq!(is_seen, visibility == "shared", "{visibility}");
    }
}

#[tokio::test]
async fn pages_are_bounded() {
    let scene = Scene::new(public("11")).await;
    scene.join().await;
    let mut said = Vec::new();
    for number in 0..130 {
        said.push(scene.alice.say(&scene.room, &number.to_string()).await);
    }
    let last = said.last().unwrap();
    let page = scene.backfill(&[last], 1_000).await;
    let newest: Vec<String> = said.iter().rev().take(100).cloned().collect();
    assert_eq!(scene.ids(&page), newest);
    let next = scene.backfill(&[&said[30]], 20).await;
    let older: Vec<String> = said[11..=30].iter().rev().cloned().collect();
    assert_eq!(scene.ids(&next), older);
    assert_eq!(scene.backfill(&[last], 0).await, Vec::<Value>::new());
    // A thousand beginnings are as good as the first fifty.
    let many: Vec<String> = (0..200).map(|number| format!("$no{number}")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.insert(0, last);
    assert_eq!(scene.backfill(&many, 5).await.len(), 5);

    let gap = |limit: u32, min_depth: u64| {
        json!({
            "earliest_events": [],
            "latest_events": [last],
            "limit": limit,
            "min_depth": min_depth,
        })
    };
    let found = scene.missing(&gap(1_000, 0)).await;
    assert_eq!(scene.ids(&found), said[109..129]);
    let default = json!({ "earliest_events": [], "latest_events": [last] });
    assert_eq!(scene.missing(&default).await.len(), 10);
    let depth = found[15]["depth"].as_u64().unwrap();
    let shallow = scene.missing(&gap(20, depth)).await;
    assert_eq!(scene.ids(&shallow), said[124..129]);
    let old = json!({
        "earliest_events": [said[1]],
        "latest_events": [said[5], said[3]],
        "limit": 20,
    });
    assert_eq!(
        scene.ids(&scene.missing(&old).await),
        [&*said[2], &*said[4]]
    );
}

#[tokio::test]
async fn a_deep_auth_chain_is_told_whole() {
    let scene = Scene::new(public("11")).await;
    scene.join().await;
    let (room, alice) = (encode(&scene.room), encode(&scene.alice.id));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{alice}");
    let mut names = Vec::new();
    for number in 0..300 {
        let content = json!({ "membership": "join", "displayname": format!("name {number}") });
        let answer = scene.alice.put(&path).json(&content).send().await.ok();
        names.push(answer["event_id"].as_str().unwrap().to_owned());
        if number % 3 == 0 {
            scene.alice.say(&scene.room, "in between").await;
        }
    }
    let said = scene.alice.say(&scene.room, "who am I").await;
    let chain = scene
        .ask("event_auth", &format!("/{}", encode(&said)))
        .await;
    let chain = scene.ids(chain.ok()["auth_chain"].as_array().unwrap());
    let query = format!("?event_id={}", encode(&said));
    let ids = scene.ask("state_ids", &query).await.ok();
    let ids = texts(&ids["auth_chain_ids"]);
    for (number, name) in names.iter().enumerate() {
        assert!(chain.contains(name), "{number}");
        // The last name is of the state, and in the chain of nothing in it.
        assert_eq!(ids.contains(name), number < 299, "{number}");
    }
}

#[tokio::test]
async fn what_was_refused_is_no_history() {
    let mut scene = Scene::new(public("11")).await;
    let told = scene.join().await;
    let join = scene.id_of(&told["event"]);
    // A message of a user whose ban she did not see, and one who stays.
    let (late, late_event) = scene.message("late", &join, &told, &join);
    scene.act("ban", &json!({ "user_id": scene.eve })).await;
    scene.eve = format!("@mallory:{}", scene.there.name);
    let told = scene.join().await;
    let join = scene.id_of(&told["event"]);
    scene.transaction("late", json!([late_event])).await.ok();
    // An event that takes power, and a message that stands on it.
    let (grab, grab_event) = {
        let mut event = scene.message("", &join, &told, &join).1;
        event["type"] = json!("m.room.power_levels");
        event["state_key"] = json!("");
        event["content"] = json!({ "users": { (scene.eve.as_str()): 100 } });
        scene.sign(&event)
    };
    let (after, after_event) = scene.message("after", &grab, &told, &join);
    let pdus = json!([grab_event, after_event]);
    let answer = scene.transaction("grab", pdus).await.ok();
    assert!(answer["pdus"][&grab]["error"].is_string(), "{answer}");
    assert_eq!(answer["pdus"][&after], json!({}), "{answer}");

    let page = scene.ids(&scene.backfill(&[&after, &late, &grab], 100).await);
    assert_eq!(page[..2], [after.clone(), join.clone()]);
    assert!(!page.contains(&late) && !page.contains(&grab));
    let gap = json!({ "earliest_events": [], "latest_events": [after], "limit": 20 });
    let found = scene.ids(&scene.missing(&gap).await);
    assert!(!found.contains(&late) && !found.contains(&grab));
    assert_eq!(found.last(), Some(&join));
    let answer = scene.event(&late).await.ok();
    assert_eq!(answer["pdus"][0]["content"]["body"], "late");
    scene.event(&grab).await.error(404, "M_NOT_FOUND");
    let query = format!("?event_id={}", encode(&grab));
    scene.ask("state", &query).await.error(404, "M_NOT_FOUND");
    // The state before what stands on it is the one that holds.
    let query = format!("?event_id={}", encode(&after));
    let state = scene.ask("state_ids", &query).await.ok();
    assert!(!texts(&state["pdu_ids"]).contains(&grab));
    assert!(texts(&state["pdu_ids"]).contains(&join));
}

#[tokio::test]
async fn what_is_gone_is_gone_for_other_servers_too() {
    let scene = Scene::new(public("11")).await;
    scene.join().await;
    let regret = scene.alice.say(&scene.room, "regret").await;
    let bob = scene.here.server.register("bob").await;
    bob.join(&scene.room).await;
    let forgotten = bob.say(&scene.room, "forget me").await;
    let path = format!(
        "/_matrix/client/v3/rooms/{}/redact/{}/1",
        encode(&scene.room),
        encode(&regret)
    );
    scene.alice.put(&path).json(&json!({})).send().await.ok();
    let proof = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "bob" },
        "password": crate::support::TestUser::PASSWORD,
    });
    let close = bob.post("/_matrix/client/v3/account/deactivate");
    let close = close.json(&json!({ "auth": proof, "erase": true }));
    close.send().await.ok();
    for id in [&regret, &forgotten] {
        let answer = scene.event(id).await.ok();
        assert_eq!(answer["pdus"][0]["content"], json!({}));
        let page = scene.backfill(&[id], 1).await;
        assert_eq!(scene.ids(&page), std::slice::from_ref(id));
        assert_eq!(page[0]["content"], json!({}));
    }
}

#[tokio::test]
async fn the_event_closest_to_a_moment() {
    let scene = Scene::new(with_visibility("joined")).await;
    let clock = &scene.here.server.clock;
    let mut said = Vec::new();
    for step in 0..3 {
        clock.advance(Duration::from_secs(10));
        if step == 1 {
            scene.join().await;
        }
        said.push(scene.alice.say(&scene.room, &step.to_string()).await);
    }
    let last = scene.event(&said[2]).await.ok();
    let end = last["pdus"][0]["origin_server_ts"].as_u64().unwrap();
    let near = async |ts: u64, dir: &str| {
        let query = format!("?ts={ts}&dir={dir}");
        scene.ask("timestamp_to_event", &query).await
    };
    let found = near(end - 5_000, "f").await.ok();
    assert_eq!(found["event_id"], said[2]);
    assert_eq!(found["origin_server_ts"], end);
    let found = near(end - 5_000, "b").await.ok();
    assert_eq!(found["event_id"], said[1]);
    // What was before the server came is not for it, but for what was before the room was closed.
    for (ts, dir) in [(end - 25_000, "f"), (end - 15_000, "b")] {
        let found = near(ts, dir).await.ok();
        assert_ne!(found["event_id"], said[0]);
    }
    near(1, "b").await.error(404, "M_NOT_FOUND");
    near(end + 1, "f").await.error(404, "M_NOT_FOUND");
}
