//! `GET /sync`

pub(crate) mod device_lists;
mod parameters;
mod unread;

use serde_json::{Value, json};

use crate::support::{TestServer, TestUser, encode};

const SYNC: &str = "/_matrix/client/v3/sync";

fn token(response: &Value) -> &str {
    response["next_batch"].as_str().unwrap()
}

fn ids(events: &Value) -> Vec<&str> {
    let events = events.as_array().unwrap();
    let ids = events.iter().map(|event| event["event_id"].as_str());
    ids.map(Option::unwrap).collect()
}

async fn act(user: &TestUser, room: &str, action: &str, body: Value) -> Value {
    let path = format!("/_matrix/client/v3/rooms/{}/{action}", encode(room));
    user.post(&path).json(&body).send().await.ok()
}

/// A room of two.
async fn chat(alice: &TestUser, bob: &TestUser) -> String {
    let room = alice
        .create_room(json!({"preset": "public_chat", "name": "chat"}))
        .await;
    bob.join(&room).await;
    room
}

#[tokio::test]
async fn two_people_talk() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let empty = bob.sync(None).await;
    assert!(empty.get("rooms").is_none());
    let room = alice
        .create_room(json!({"preset": "private_chat", "name": "chat"}))
        .await;
    alice.invite(&room, &bob.id).await;
    let invited = bob.sync(Some(token(&empty))).await;
    let events = &invited["rooms"]["invite"][&room]["invite_state"]["events"];
    let kinds: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["type"])
        .collect();
    assert!(kinds.contains(&&json!("m.room.create")) && kinds.contains(&&json!("m.room.member")));
    bob.join(&room).await;
    let said = alice.say(&room, "hello").await;
    let joined = bob.sync(Some(token(&invited))).await;
    let found = &joined["rooms"]["join"][&room];
    assert_eq!(
        ids(&found["timeline"]["events"]).last(),
        Some(&said.as_str())
    );
    assert_eq!(found["summary"]["m.joined_member_count"], 2);
    assert_eq!(found["unread_notifications"]["notification_count"], 1);
    let answer = bob.say(&room, "hi").await;
    let first = alice.sync(None).await;
    let events = &first["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(ids(events).last(), Some(&answer.as_str()));
    let next = alice.sync(Some(token(&first))).await;
    assert!(next.get("rooms").is_none());
}

#[tokio::test]
async fn a_waiting_sync_is_answered_by_the_next_event() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = bob.sync(None).await;
    let waiting = bob
        .get(SYNC)
        .query("since", token(&first))
        .query("timeout", "60000")
        .send();
    let (answer, said) = tokio::join!(waiting, alice.say(&room, "wake up"));
    let events = &answer.ok()["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(ids(events), [said]);
}

#[tokio::test]
async fn a_sync_needs_a_token_and_a_since_of_ours() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    server.get(SYNC).send().await.error(401, "M_MISSING_TOKEN");
    for garbage in [
        "",
        "x",
        "s72594_4483_1934",
        "t4",
        "'; DROP TABLE event",
        "s\u{0}",
    ] {
        let answer = alice.get(SYNC).query("since", garbage).send().await;
        answer.error(400, "M_INVALID_PARAM");
    }
    for timeout in ["-1", "x", "99999999999999999999999"] {
        let answer = alice.get(SYNC).query("timeout", timeout).send().await;
        answer.error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn a_filter_is_given_inline_or_by_its_id() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let said = bob.say(&room, "hello").await;
    let filter = json!({"room": {"timeline": {"limit": 1}, "state": {"types": []}}});
    let path = format!("/_matrix/client/v3/user/{}/filter", encode(&alice.id));
    let stored = alice.post(&path).json(&filter).send().await.ok();
    let filter_id = stored["filter_id"].as_str().unwrap().to_owned();
    for filter in [filter.to_string(), filter_id] {
        let answer = alice.get(SYNC).query("filter", &filter).send().await.ok();
        let found = &answer["rooms"]["join"][&room];
        assert_eq!(ids(&found["timeline"]["events"]), [said.as_str()]);
        assert_eq!(found["timeline"]["limited"], true);
        assert!(found.get("state").is_none());
    }
    for wrong in [
        "nothing",
        r#"{"room": 5}"#,
        "{",
        r#"{"room": {"rooms": ["x"]}}"#,
    ] {
        let answer = alice.get(SYNC).query("filter", wrong).send().await;
        answer.error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn the_prev_batch_of_a_limited_timeline_leads_to_what_is_missing() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = alice.sync(None).await;
    let mut said = Vec::new();
    for nth in 0..15 {
        said.push(bob.say(&room, &nth.to_string()).await);
    }
    let second = alice.sync(Some(token(&first))).await;
    let timeline = &second["rooms"]["join"][&room]["timeline"];
    assert_eq!(timeline["limited"], true);
    assert_eq!(ids(&timeline["events"]), said[5..]);
    let path = format!("/_matrix/client/v3/rooms/{}/messages", encode(&room));
    let page = alice
        .get(&path)
        .query("dir", "b")
        .query("from", timeline["prev_batch"].as_str().unwrap())
        .query("to", token(&first))
        .send()
        .await
        .ok();
    let mut missing = ids(&page["chunk"]);
    missing.reverse();
    assert_eq!(missing, said[..5]);
}

#[tokio::test]
async fn who_is_thrown_out_gets_nothing_more() {
    let server = TestServer::start().await;
    for action in ["kick", "ban"] {
        let alice = server.register(&format!("alice-{action}")).await;
        let bob = server.register(&format!("bob-{action}")).await;
        let room = chat(&alice, &bob).await;
        let first = bob.sync(None).await;
        act(&alice, &room, action, json!({"user_id": bob.id})).await;
        let secret = alice.say(&room, "without bob").await;
        let second = bob.sync(Some(token(&first))).await;
        assert!(second["rooms"].get("join").is_none());
        let events = &second["rooms"]["leave"][&room]["timeline"]["events"];
        assert_eq!(ids(events).len(), 1);
        assert!(!ids(events).contains(&secret.as_str()));
        let third = bob.sync(Some(token(&second))).await;
        assert!(third.get("rooms").is_none());
        act(&bob, &room, "forget", json!({})).await;
        let archived = r#"{"room": {"include_leave": true}}"#;
        let all = bob.get(SYNC).query("filter", archived).send().await.ok();
        assert!(all.get("rooms").is_none());
    }
}

#[tokio::test]
async fn a_rejoined_room_comes_whole() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = bob.sync(None).await;
    act(&bob, &room, "leave", json!({})).await;
    let second = bob.sync(Some(token(&first))).await;
    assert!(second["rooms"]["leave"].get(&room).is_some());
    bob.join(&room).await;
    let third = bob.sync(Some(token(&second))).await;
    let found = &third["rooms"]["join"][&room];
    assert_eq!(found["timeline"]["limited"], true);
    let timeline = found["timeline"]["events"].as_array().into_iter();
    let state = found["state"]["events"].as_array().into_iter();
    let mut events = timeline.chain(state).flatten();
    assert!(events.any(|event| event["type"] == "m.room.create"));
}

#[tokio::test]
async fn only_the_sending_device_sees_its_transaction_id() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let said = alice.say(&room, "x").await;
    for (user, sees) in [(&alice, true), (&bob, false)] {
        let response = user.sync(None).await;
        let events = response["rooms"]["join"][&room]["timeline"]["events"]
            .as_array()
            .unwrap()
            .clone();
        let event = events
            .iter()
            .find(|event| event["event_id"] == said.as_str())
            .unwrap();
        assert_eq!(event["unsigned"].get("transaction_id").is_some(), sees);
        assert!(event["unsigned"]["age"].is_number());
    }
}

#[tokio::test]
async fn redacted_content_is_gone() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = bob.sync(None).await;
    let said = alice.say(&room, "a secret").await;
    assert!(
        bob.sync(Some(token(&first)))
            .await
            .to_string()
            .contains("a secret")
    );
    let path = format!(
        "/_matrix/client/v3/rooms/{}/redact/{}/t",
        encode(&room),
        encode(&said)
    );
    alice.put(&path).json(&json!({})).send().await.ok();
    for since in [None, Some(token(&first))] {
        let response = bob.sync(since).await;
        assert!(!response.to_string().contains("a secret"));
        let events = &response["rooms"]["join"][&room]["timeline"]["events"];
        let events = events.as_array().unwrap();
        let redacted = events
            .iter()
            .find(|event| event["event_id"] == said.as_str())
            .unwrap();
        assert_eq!(redacted["content"], json!({}));
        assert_eq!(
            redacted["unsigned"]["redacted_because"]["type"],
            "m.room.redaction"
        );
    }
}

#[tokio::test]
async fn typing_receipts_and_account_data_come_along() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let said = bob.say(&room, "x").await;
    let first = alice.sync(None).await;
    let unread = &first["rooms"]["join"][&room]["unread_notifications"];
    assert_eq!(unread["notification_count"], 1);
    let path = format!(
        "/_matrix/client/v3/rooms/{}/typing/{}",
        encode(&room),
        encode(&bob.id)
    );
    let typing = json!({"typing": true, "timeout": 30000});
    bob.put(&path).json(&typing).send().await.ok();
    let path = format!(
        "/_matrix/client/v3/rooms/{}/receipt/m.read/{}",
        encode(&room),
        encode(&said)
    );
    alice.post(&path).json(&json!({})).send().await.ok();
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/m.direct",
        encode(&alice.id)
    );
    alice.put(&path).json(&json!({"a": 1})).send().await.ok();
    let second = alice.sync(Some(token(&first))).await;
    let found = &second["rooms"]["join"][&room];
    assert_eq!(found["unread_notifications"]["notification_count"], 0);
    let ephemeral = found["ephemeral"]["events"].as_array().unwrap();
    let of = |kind: &str| {
        ephemeral
            .iter()
            .find(|event| event["type"] == kind)
            .unwrap()
    };
    assert_eq!(of("m.typing")["content"]["user_ids"], json!([bob.id]));
    let readers = &of("m.receipt")["content"][&said]["m.read"];
    assert!(readers.get(&alice.id).is_some());
    assert_eq!(
        second["account_data"]["events"][0]["content"],
        json!({"a": 1})
    );
}
