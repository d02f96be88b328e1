//! `GET /rooms/{roomId}/context/{eventId}`

use serde_json::{Value, json};

use super::{event_ids, room_path, say_many};
use crate::support::{TestServer, TestUser, encode};

async fn context(user: &TestUser, room: &str, event: &str, limit: &str) -> Value {
    let path = room_path(room, &format!("context/{}", encode(event)));
    user.get(&path).query("limit", limit).send().await.ok()
}

#[tokio::test]
async fn splits_the_limit_around_the_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = say_many(&alice, &room, 200).await;

    let context = context(&alice, &room, &sent[50], "7").await;
    assert_eq!(context["event"]["event_id"], sent[50]);
    let before = [&*sent[49], &sent[48], &sent[47]];
    assert_eq!(event_ids(&context["events_before"]), before);
    assert_eq!(event_ids(&context["events_after"]), sent[51..55]);

    let page = async |from: &Value, dir: &str| {
        let request = alice
            .get(&room_path(&room, "messages"))
            .query("dir", dir)
            .query("limit", "1")
            .query("from", from.as_str().unwrap());
        event_ids(&request.send().await.ok()["chunk"])
    };
    assert_eq!(page(&context["start"], "b").await, [&*sent[46]]);
    assert_eq!(page(&context["end"], "f").await, [&*sent[55]]);
}

#[tokio::test]
async fn a_limit_of_zero_gives_the_event_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = say_many(&alice, &room, 3).await;
    let context = context(&alice, &room, &sent[1], "0").await;
    assert_eq!(context["event"]["event_id"], sent[1]);
    assert_eq!(context.get("events_before"), None);
    assert_eq!(context.get("events_after"), None);
}

#[tokio::test]
async fn shows_the_state_after_the_last_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({ "name": "one" })).await;
    let sent = say_many(&alice, &room, 3).await;
    let rename = async |name: &str| {
        let request = alice.put(&room_path(&room, "state/m.room.name"));
        request.json(&json!({ "name": name })).send().await.ok();
    };
    rename("two").await;
    say_many(&alice, &room, 80).await;
    rename("three").await;

    let name = |context: &Value| {
        let state = context["state"].as_array().unwrap();
        let name = state.iter().find(|event| event["type"] == "m.room.name");
        name.unwrap()["content"]["name"].clone()
    };
    assert_eq!(name(&context(&alice, &room, &sent[0], "2").await), "one");
    assert_eq!(name(&context(&alice, &room, &sent[0], "10").await), "two");
    let whole = context(&alice, &room, &sent[0], "2").await;
    let kinds: Vec<_> = whole["state"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    for kind in ["m.room.create", "m.room.member", "m.room.power_levels"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
}

#[tokio::test]
async fn loads_members_lazily_and_filters() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let event = alice.say(&room, "x").await;
    bob.send_event(&room, "org.example.noise", json!({})).await;
    let path = room_path(&room, &format!("context/{}", encode(&event)));
    let ask = async |filter: Value| {
        let request = alice.get(&path).query("filter", filter.to_string());
        request.send().await.ok()
    };
    let members = |context: &Value| {
        let state = context["state"].as_array().unwrap();
        let members = state
            .iter()
            .filter(|event| event["type"] == "m.room.member");
        members.count()
    };
    let lazy = ask(json!({ "lazy_load_members": true, "not_types": ["org.example.noise"] })).await;
    let noise = lazy["events_after"].as_array();
    assert_eq!(noise, None, "{lazy}");
    assert_eq!(members(&ask(json!({})).await), 2);
}

#[tokio::test]
async fn refuses_unknown_and_hidden_events() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "x").await;
    let path = |room: &str, event: &str| room_path(room, &format!("context/{}", encode(event)));
    let unknown = alice.get(&path(&room, "$nothing")).send().await;
    unknown.error(404, "M_NOT_FOUND");
    let hidden = bob.get(&path(&room, &event)).send().await;
    hidden.error(403, "M_FORBIDDEN");
    let unknown = bob.get(&path(&room, "$nothing")).send().await;
    unknown.error(403, "M_FORBIDDEN");
    let other = alice.create_room(json!({})).await;
    let elsewhere = alice.get(&path(&other, &event)).send().await;
    elsewhere.error(404, "M_NOT_FOUND");
}
