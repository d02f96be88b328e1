//! Unread and highlight counts, per room and per thread, in the `/sync` that brings the event.

use serde_json::{Value, json};

use super::{SYNC, chat, token};
use crate::support::{TestServer, TestUser, encode};

const BY_THREAD: &str = r#"{"room": {"timeline": {"unread_thread_notifications": true}}}"#;

fn counts(notifications: u64, highlights: u64) -> Value {
    json!({ "notification_count": notifications, "highlight_count": highlights })
}

async fn by_thread(user: &TestUser, since: &str) -> Value {
    let request = user.get(SYNC).query("since", since);
    request.query("filter", BY_THREAD).send().await.ok()
}

async fn read(user: &TestUser, room: &str, event: &str, body: Value) {
    let (room, event) = (encode(room), encode(event));
    let path = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{event}");
    user.post(&path).json(&body).send().await.ok();
}

fn in_thread(thread: &str, body: &str, mentioned: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": body,
        "m.mentions": { "user_ids": [mentioned] },
        "m.relates_to": { "rel_type": "m.thread", "event_id": thread },
    })
}

#[tokio::test]
async fn an_event_and_its_counts_come_together() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let mut since = token(&bob.sync(None).await).to_owned();
    for nth in 1..4 {
        let content = json!({
            "msgtype": "m.text",
            "body": "hello",
            "m.mentions": { "user_ids": [bob.id] },
        });
        let waiting = bob.get(SYNC).query("since", &since);
        let waiting = waiting.query("timeout", "60000").send();
        let send = alice.send_event(&room, "m.room.message", content);
        let (answer, said) = tokio::join!(waiting, send);
        let sync = answer.ok();
        let found = &sync["rooms"]["join"][&room];
        assert_eq!(found["timeline"]["events"][0]["event_id"], said);
        assert_eq!(found["unread_notifications"], counts(nth, nth));
        since = token(&sync).to_owned();
    }
    // One's own events count for nobody else's reading.
    let said = bob.say(&room, "answer").await;
    let sync = bob.sync(Some(&since)).await;
    let found = &sync["rooms"]["join"][&room];
    assert_eq!(found["timeline"]["events"][0]["event_id"], said);
    read(&bob, &room, &said, json!({})).await;
    let sync = bob.sync(Some(token(&sync))).await;
    let found = &sync["rooms"]["join"][&room];
    assert_eq!(found["unread_notifications"], counts(0, 0));
}

#[tokio::test]
async fn threads_count_apart_for_who_asks() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = bob.sync(None).await;
    let since = token(&first);
    let thread = alice.say(&room, "root").await;
    let kind = "m.room.message";
    alice
        .send_event(&room, kind, in_thread(&thread, "one", "@nobody:x.y"))
        .await;
    let last = alice
        .send_event(&room, kind, in_thread(&thread, "two", &bob.id))
        .await;
    let apart = &by_thread(&bob, since).await["rooms"]["join"][&room];
    assert_eq!(apart["unread_notifications"], counts(1, 0));
    assert_eq!(
        apart["unread_thread_notifications"],
        json!({ thread.as_str(): counts(2, 1) })
    );
    let together = &bob.sync(Some(since)).await["rooms"]["join"][&room];
    assert_eq!(together["unread_notifications"], counts(3, 1));
    assert!(together.get("unread_thread_notifications").is_none());
    // A receipt in the thread reads the thread alone, and one for the main timeline that alone.
    read(&bob, &room, &last, json!({ "thread_id": thread })).await;
    let apart = &by_thread(&bob, since).await["rooms"]["join"][&room];
    assert_eq!(apart["unread_notifications"], counts(1, 0));
    assert!(apart.get("unread_thread_notifications").is_none());
    read(&bob, &room, &thread, json!({ "thread_id": "main" })).await;
    let apart = &by_thread(&bob, since).await["rooms"]["join"][&room];
    assert_eq!(apart["unread_notifications"], counts(0, 0));
}

#[tokio::test]
async fn a_receipt_without_a_thread_reads_all_of_them() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = bob.sync(None).await;
    let thread = alice.say(&room, "root").await;
    let reply = in_thread(&thread, "one", &bob.id);
    let last = alice.send_event(&room, "m.room.message", reply).await;
    read(&bob, &room, &last, json!({})).await;
    let sync = by_thread(&bob, token(&first)).await;
    let found = &sync["rooms"]["join"][&room];
    assert_eq!(found["unread_notifications"], counts(0, 0));
    assert!(found.get("unread_thread_notifications").is_none());
}

#[tokio::test]
async fn the_rules_of_the_user_say_what_counts() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = chat(&alice, &bob).await;
    let first = bob.sync(None).await;
    let rules = "/_matrix/client/v3/pushrules/global";
    let path = format!("{rules}/room/{}", encode(&room));
    let silent = json!({ "actions": [] });
    bob.put(&path).json(&silent).send().await.ok();
    let word = json!({ "pattern": "tea", "actions": ["notify", { "set_tweak": "highlight" }] });
    let path = format!("{rules}/content/tea");
    bob.put(&path).json(&word).send().await.ok();
    alice.say(&room, "hello").await;
    let said = alice.say(&room, "Tea is ready").await;
    let notice = json!({ "msgtype": "m.notice", "body": "tea" });
    alice.send_event(&room, "m.room.message", notice).await;
    let sync = bob.sync(Some(token(&first))).await;
    let found = &sync["rooms"]["join"][&room];
    assert_eq!(found["unread_notifications"], counts(1, 1));
    read(&bob, &room, &said, json!({})).await;
    let sync = bob.sync(Some(token(&sync))).await;
    let found = &sync["rooms"]["join"][&room];
    assert_eq!(found["unread_notifications"], counts(0, 0));
}
