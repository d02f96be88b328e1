//! What the parameters and filters of `/sync` do to its answer.

use serde_json::{Value, json};

use super::{SYNC, act, chat, ids, token};
use crate::support::{TestServer, TestUser, encode};

async fn filtered(user: &TestUser, since: Option<&str>, filter: Value) -> Value {
    let request = user.get(SYNC).query("filter", filter.to_string());
    let request = match since {
        Some(since) => request.query("since", since),
        None => request,
    };
    request.send().await.ok()
}

async fn set_topic(user: &TestUser, room: &str, topic: &str) {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.topic/",
        encode(room)
    );
    let body = json!({ "topic": topic });
    user.put(&path).json(&body).send().await.ok();
}

fn slots(state: &Value) -> Vec<(&str, &str)> {
    let events = state["events"].as_array().into_iter().flatten();
    let mut slots: Vec<_> = events
        .map(|event| {
            (
                event["type"].as_str().unwrap(),
                event["state_key"].as_str().unwrap(),
            )
        })
        .collect();
    slots.sort_unstable();
    slots
}

#[tokio::test]
async fn full_state_brings_every_room_with_all_of_its_state() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = alice.sync(None).await;
    let quiet = alice.sync(Some(token(&first))).await;
    assert!(quiet.get("rooms").is_none());
    let request = alice.get(SYNC).query("since", token(&first));
    let request = request.query("full_state", "true");
    // It does not wait, whatever the timeout.
    let full = request.query("timeout", "60000").send().await.ok();
    let found = &full["rooms"]["join"][&room];
    let state = slots(&found["state"]);
    assert!(state.contains(&("m.room.create", "")), "{full}");
    assert!(state.contains(&("m.room.member", &alice.id)), "{full}");
    assert!(state.contains(&("m.room.member", &bob.id)), "{full}");
}

#[tokio::test]
async fn state_after_is_the_state_at_the_end() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    set_topic(&alice, &room, "before").await;
    let first = bob.sync(None).await;
    for nth in 0..12 {
        set_topic(&alice, &room, &nth.to_string()).await;
    }
    let topic = |section: &Value| {
        let mut events = section["events"].as_array().unwrap().iter();
        let event = events.find(|event| event["type"] == "m.room.topic");
        event.map(|event| event["content"]["topic"].clone())
    };
    let since = token(&first);
    let before = bob.sync(Some(since)).await;
    let found = &before["rooms"]["join"][&room];
    // Ten events are in the timeline: the state is the one that they begin on.
    assert_eq!(topic(&found["state"]), Some(json!("1")));
    assert!(found.get("state_after").is_none());
    let request = bob.get(SYNC).query("since", since);
    let after = request.query("use_state_after", "true").send().await.ok();
    let found = &after["rooms"]["join"][&room];
    assert_eq!(topic(&found["state_after"]), Some(json!("11")));
    assert!(found.get("state").is_none());
}

#[tokio::test]
async fn members_are_loaded_lazily_for_who_asks() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    for name in ["carol", "dave", "erin"] {
        server.register(name).await.join(&room).await;
    }
    bob.say(&room, "hello").await;
    let lazy = |redundant: bool| {
        json!({ "room": {
            "timeline": { "limit": 1 },
            "state": { "lazy_load_members": true, "include_redundant_members": redundant },
        } })
    };
    let members = |sync: &Value| {
        let state = &sync["rooms"]["join"][&room]["state"];
        let slots = slots(state).into_iter();
        let members = slots.filter(|(kind, _)| *kind == "m.room.member");
        members.map(|(_, user)| user.to_owned()).collect::<Vec<_>>()
    };
    let own = [alice.id.clone(), bob.id.clone()];
    let first = filtered(&alice, None, lazy(false)).await;
    assert_eq!(members(&first), own);
    bob.say(&room, "again").await;
    let since = Some(token(&first));
    let next = filtered(&alice, since, lazy(false)).await;
    assert!(members(&next).is_empty(), "{next}");
    let next = filtered(&alice, since, lazy(true)).await;
    assert!(members(&next).contains(&bob.id), "{next}");
}

#[tokio::test]
async fn rooms_that_were_left_come_for_who_asks() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let said = alice.say(&room, "until then").await;
    act(&bob, &room, "leave", json!({})).await;
    set_topic(&alice, &room, "without bob").await;
    assert!(bob.sync(None).await.get("rooms").is_none());
    let archived = filtered(&bob, None, json!({ "room": { "include_leave": true } })).await;
    let found = &archived["rooms"]["leave"][&room];
    assert!(ids(&found["timeline"]["events"]).contains(&said.as_str()));
    assert!(!found.to_string().contains("without bob"));
}

#[tokio::test]
async fn filters_choose_rooms_types_and_senders() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let other = chat(&alice, &bob).await;
    let first = alice.sync(None).await;
    let hers = alice.say(&room, "hers").await;
    let his = bob.say(&room, "his").await;
    bob.say(&other, "elsewhere").await;
    let thing = bob.send_event(&room, "org.example.thing", json!({})).await;
    let timeline = async |filter: Value| {
        let filter = json!({ "room": { "timeline": filter } });
        let sync = filtered(&alice, Some(token(&first)), filter).await;
        let events = &sync["rooms"]["join"][&room]["timeline"]["events"];
        let events = events.as_array().cloned().unwrap_or_default();
        let ids = events.iter().map(|event| event["event_id"].as_str());
        ids.map(|id| id.unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        timeline(json!({ "senders": [bob.id] })).await,
        [his.clone(), thing.clone()]
    );
    assert_eq!(
        timeline(json!({ "not_senders": [bob.id] })).await,
        std::slice::from_ref(&hers)
    );
    assert_eq!(
        timeline(json!({ "types": ["org.example.*"] })).await,
        std::slice::from_ref(&thing)
    );
    assert_eq!(
        timeline(json!({ "not_types": ["org.example.*"] })).await,
        [hers, his]
    );
    assert!(timeline(json!({ "not_rooms": [room] })).await.is_empty());
    let only = json!({ "room": { "rooms": [other] } });
    let sync = filtered(&alice, Some(token(&first)), only).await;
    let joined = sync["rooms"]["join"].as_object().unwrap();
    assert_eq!(joined.keys().collect::<Vec<_>>(), [&other]);
    let fields = json!({ "event_fields": ["type", "content.body"] });
    let sync = filtered(&alice, Some(token(&first)), fields).await;
    assert_eq!(
        sync["rooms"]["join"][&room]["timeline"]["events"][0],
        json!({ "type": "m.room.message", "content": { "body": "hers" } })
    );
}

#[tokio::test]
async fn what_an_ignored_user_says_and_invites_to_is_not_shown() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/m.ignored_user_list",
        encode(&alice.id)
    );
    let list = json!({ "ignored_users": { bob.id.as_str(): {} } });
    alice.put(&path).json(&list).send().await.ok();
    let first = alice.sync(None).await;
    bob.say(&room, "hello?").await;
    let pushy = bob.create_room(json!({ "invite": [alice.id] })).await;
    for sync in [
        alice.sync(None).await,
        alice.sync(Some(token(&first))).await,
    ] {
        assert!(!sync.to_string().contains("hello?"), "{sync}");
        assert!(sync["rooms"]["invite"].get(&pushy).is_none(), "{sync}");
    }
    let counts = &alice.sync(None).await["rooms"]["join"][&room]["unread_notifications"];
    assert_eq!(counts["notification_count"], 0);
}
