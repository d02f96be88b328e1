//! `GET /rooms/{roomId}/messages`

use matryx_entity::{event::EventRow, key};
use matryx_surrealdb::Plan;
use serde_json::{Value, json};

use super::{bodies, event_ids, room_path, say_many};
use crate::support::{TestServer, TestUser};

async fn page(user: &TestUser, room: &str, parameters: &[(&str, &str)]) -> Value {
    let mut request = user.get(&room_path(room, "messages"));
    for (name, value) in parameters {
        request = request.query(name, value);
    }
    request.send().await.ok()
}

#[tokio::test]
async fn pages_backward_from_the_newest_to_the_first_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = say_many(&alice, &room, 130).await;

    let mut seen = Vec::new();
    let mut from = None;
    loop {
        let mut parameters = vec![("dir", "b"), ("limit", "50")];
        let token: String = from.take().unwrap_or_default();
        if !token.is_empty() {
            parameters.push(("from", &token));
        }
        let page = page(&alice, &room, &parameters).await;
        assert!(page["start"].is_string());
        let events = page["chunk"].as_array().unwrap().clone();
        seen.extend(events);
        let Some(end) = page["end"].as_str() else {
            assert_eq!(page["chunk"], json!([]), "only an empty page has no end");
            break;
        };
        from = Some(end.to_owned());
    }
    let mut ids = event_ids(&Value::Array(seen.clone()));
    ids.reverse();
    assert!(ids.ends_with(&sent));
    assert_eq!(seen.last().unwrap()["type"], "m.room.create");
    let unique: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "no event comes twice");
}

#[tokio::test]
async fn pages_forward_from_the_beginning() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = say_many(&alice, &room, 3).await;

    let first = page(&alice, &room, &[("dir", "f"), ("limit", "2")]).await;
    assert_eq!(first["chunk"][0]["type"], "m.room.create");
    assert_eq!(first["chunk"].as_array().unwrap().len(), 2);
    let end = first["end"].as_str().unwrap();
    let rest = page(
        &alice,
        &room,
        &[("dir", "f"), ("limit", "100"), ("from", end)],
    )
    .await;
    assert!(event_ids(&rest["chunk"]).ends_with(&sent));

    let end = rest["end"].as_str().unwrap();
    let nothing = page(&alice, &room, &[("dir", "f"), ("from", end)]).await;
    assert_eq!(nothing["chunk"], json!([]));
    assert_eq!(nothing.get("end"), None);
}

#[tokio::test]
async fn takes_tokens_of_sync_however_old() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let old = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let sent = say_many(&alice, &room, 150).await;
    let new = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let later = alice.say(&room, "later").await;

    let all = [("dir", "f"), ("limit", "500"), ("from", &old), ("to", &new)];
    assert_eq!(event_ids(&page(&alice, &room, &all).await["chunk"]), sent);
    let all = [("dir", "b"), ("limit", "500"), ("from", &new), ("to", &old)];
    let mut backward = event_ids(&page(&alice, &room, &all).await["chunk"]);
    backward.reverse();
    assert_eq!(backward, sent);
    let rest = page(&alice, &room, &[("dir", "f"), ("from", &new)]).await;
    assert_eq!(event_ids(&rest["chunk"]), [later]);
}

#[tokio::test]
async fn continues_from_the_gap_of_a_limited_sync() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = say_many(&alice, &room, 40).await;
    let synced = alice.sync(None).await;
    let timeline = &synced["rooms"]["join"][&room]["timeline"];
    let shown = event_ids(&timeline["events"]);
    let before = timeline["prev_batch"].as_str().unwrap();

    let page = page(
        &alice,
        &room,
        &[("dir", "b"), ("from", before), ("limit", "5")],
    )
    .await;
    let mut earlier = event_ids(&page["chunk"]);
    earlier.reverse();
    let found = [earlier, shown].concat();
    assert!(found.len() < sent.len(), "the sync was limited");
    assert_eq!(found, sent[sent.len() - found.len()..]);
}

#[tokio::test]
async fn clamps_the_limit_and_takes_zero() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    say_many(&alice, &room, 12).await;
    let count = async |limit: &str| {
        let page = page(&alice, &room, &[("dir", "b"), ("limit", limit)]).await;
        page["chunk"].as_array().unwrap().len()
    };
    assert_eq!(count("0").await, 0);
    assert!(count("9007199254740991").await > 12);
    let page = page(&alice, &room, &[("dir", "b")]).await;
    assert_eq!(page["chunk"].as_array().unwrap().len(), 10, "the default");
}

#[tokio::test]
async fn filters_by_type_sender_and_url() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let text = alice.say(&room, "text").await;
    let image = json!({ "msgtype": "m.image", "body": "i", "url": "mxc://x/y" });
    let image = alice.send_event(&room, "m.room.message", image).await;
    let other = bob.say(&room, "mine").await;
    // More than a page of what the filter drops, beyond what is in memory.
    for _ in 0..100 {
        alice
            .send_event(&room, "org.example.noise", json!({}))
            .await;
    }
    let ids = async |filter: Value| {
        let mut found = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let mut request = alice
                .get(&room_path(&room, "messages"))
                .query("dir", "b")
                .query("limit", "2")
                .query("filter", filter.to_string());
            if let Some(from) = &from {
                request = request.query("from", from);
            }
            let page = request.send().await.ok();
            found.extend(event_ids(&page["chunk"]));
            match page["end"].as_str() {
                Some(end) => from = Some(end.to_owned()),
                None => break found,
            }
        }
    };
    let messages = json!({ "types": ["m.room.message"] });
    assert_eq!(ids(messages).await, [&*other, &image, &text]);
    let of_bob = json!({ "senders": [bob.id], "types": ["m.room.mess*"] });
    assert_eq!(ids(of_bob).await, [other]);
    assert_eq!(ids(json!({ "contains_url": true })).await, [image]);
    assert_eq!(ids(json!({ "rooms": [] })).await, [""; 0]);
}

#[tokio::test]
async fn adds_the_senders_members_as_they_were_when_loading_lazily() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let before = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    bob.say(&room, "then").await;
    let after = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    bob.put(&room_path(
        &room,
        &format!("state/m.room.member/{}", bob.id),
    ))
    .json(&json!({ "membership": "join", "displayname": "Robert" }))
    .send()
    .await
    .ok();
    // Push everything out of memory, so that the state group is read.
    say_many(&alice, &room, 80).await;

    let lazy = json!({ "lazy_load_members": true }).to_string();
    let wanted = [
        ("dir", "f"),
        ("from", &*before),
        ("to", &after),
        ("filter", &lazy),
    ];
    let page = page(&alice, &room, &wanted).await;
    let state = page["state"].as_array().unwrap();
    assert_eq!(state.len(), 1, "{state:?}");
    assert_eq!(state[0]["state_key"], bob.id);
    assert_ne!(state[0]["content"]["displayname"], "Robert");
    assert_eq!(state[0]["room_id"], room);
}

#[tokio::test]
async fn shows_what_a_state_event_replaced_and_the_own_transaction() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({ "name": "old" })).await;
    alice
        .put(&room_path(&room, "state/m.room.name"))
        .json(&json!({ "name": "new" }))
        .send()
        .await
        .ok();
    alice.say(&room, "x").await;
    let page = page(&alice, &room, &[("dir", "b"), ("limit", "2")]).await;
    let [message, name] = page["chunk"].as_array().unwrap().as_slice() else {
        panic!("two events: {page}");
    };
    assert!(
        message["unsigned"]["transaction_id"].is_string(),
        "{message}"
    );
    assert_eq!(message["unsigned"]["membership"], "join");
    assert_eq!(name["unsigned"]["prev_content"]["name"], "old");
    assert!(name["unsigned"]["replaces_state"].is_string());
    assert_eq!(name.get("hashes"), None, "nothing of the federation's form");
}

#[tokio::test]
async fn a_page_full_of_events_that_nobody_may_see_does_not_end_the_history() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let first = alice.say(&room, "first").await;
    say_many(&alice, &room, 300).await;
    let last = alice.say(&room, "last").await;
    say_many(&alice, &room, 70).await;

    let snapshot = server
        .app
        .sync
        .room_by_id(room.as_str().try_into().unwrap());
    let no = snapshot.await.unwrap().unwrap().no;
    let store = &server.app.store;
    let pos = async |id: &str| {
        let id = <&ruma::EventId>::try_from(id).unwrap();
        store.event_by_id(id).await.unwrap().unwrap().pos
    };
    let (low, high) = (pos(&first).await, pos(&last).await);
    let mut plan = Plan::new();
    for pos in low + 1..high {
        let mut row = store
            .get::<EventRow>(&key![no, pos])
            .await
            .unwrap()
            .unwrap();
        row.soft_failed = pos % 2 == 0;
        row.rejected = pos % 2 != 0;
        plan.put(&row);
    }
    store.commit(plan).await.unwrap();

    let mut shown = Vec::new();
    let mut from = None::<String>;
    while !shown.contains(&first) {
        let mut request = alice
            .get(&room_path(&room, "messages"))
            .query("dir", "b")
            .query("limit", "10");
        if let Some(from) = &from {
            request = request.query("from", from);
        }
        let page = request.send().await.ok();
        shown.extend(event_ids(&page["chunk"]));
        from = Some(page["end"].as_str().expect("there is more").to_owned());
    }
    let at = shown.iter().position(|id| *id == last).unwrap();
    assert_eq!(shown[at + 1], first, "nothing in between is shown");
}

#[tokio::test]
async fn leaves_out_ignored_users_but_not_their_state() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    bob.say(&room, "ignored").await;
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/m.ignored_user_list",
        crate::support::encode(&alice.id)
    );
    alice
        .put(&path)
        .json(&json!({ "ignored_users": { &bob.id: {} } }))
        .send()
        .await
        .ok();
    let page = page(&alice, &room, &[("dir", "b"), ("limit", "100")]).await;
    assert!(!bodies(&page["chunk"]).contains(&"ignored".to_owned()));
    let events = page["chunk"].as_array().unwrap();
    assert!(events.iter().any(|event| event["state_key"] == bob.id));
}

#[tokio::test]
async fn refuses_who_may_not_look_and_what_is_no_token() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    let path = room_path(&room, "messages");
    let denied = bob.get(&path).query("dir", "b").send().await;
    denied.error(403, "M_FORBIDDEN");
    alice.invite(&room, &bob.id).await;
    let denied = bob.get(&path).query("dir", "b").send().await;
    denied.error(403, "M_FORBIDDEN");
    let nowhere = room_path("!nowhere:test.example", "messages");
    let denied = alice.get(&nowhere).query("dir", "b").send().await;
    denied.error(403, "M_FORBIDDEN");
    server.get(&path).send().await.error(401, "M_MISSING_TOKEN");

    let ask = |name: &str, value: &str| alice.get(&path).query("dir", "b").query(name, value);
    for token in [
        "garbage",
        "t",
        "t1x",
        "t+1",
        "s!!!",
        "t99999999999999999999",
    ] {
        ask("from", token)
            .send()
            .await
            .error(400, "M_INVALID_PARAM");
        ask("to", token).send().await.error(400, "M_INVALID_PARAM");
    }
    for token in ["t9223372036854775807", "t-9223372036854775808", "t0"] {
        ask("from", token).send().await.ok();
        ask("to", token).send().await.ok();
    }
    ask("limit", "-1")
        .send()
        .await
        .error(400, "M_INVALID_PARAM");
    ask("limit", "x").send().await.error(400, "M_INVALID_PARAM");
    ask("filter", "{")
        .send()
        .await
        .error(400, "M_INVALID_PARAM");
    let answer = alice.get(&path).query("dir", "sideways").send().await;
    answer.error(400, "M_INVALID_PARAM");
    alice.get(&path).send().await.error(400, "M_MISSING_PARAM");
}
