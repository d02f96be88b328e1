//! Many at once: those who wait, and those who all want the same.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::TestServer;

const SYNC: &str = "/_matrix/client/v3/sync";

/// Users who wait for news, and long polls of each.
const IDLERS: usize = 10;
const POLLS: usize = 100;

/// Clients that write into one room.
const HAMMERS: usize = 100;
/// Messages that somebody else sends into another room meanwhile.
const OTHERS: usize = 5;

#[tokio::test]
async fn a_message_wakes_those_whom_it_concerns_and_nobody_else() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let mut polls = JoinSet::new();
    for number in 0..IDLERS {
        let idler = server.register(&format!("idler{number}")).await;
        let since = idler.sync(None).await;
        let since = since["next_batch"].as_str().unwrap();
        for _ in 0..POLLS {
            let poll = idler.get(SYNC).query("timeout", "600000");
            polls.spawn(poll.query("since", since).send());
        }
    }
    let waiters = || server.app.sync.status().waiters;
    while waiters() < IDLERS * POLLS {
        tokio::task::yield_now().await;
    }
    let mut since = bob.sync(None).await["next_batch"].clone();
    for number in 0..50 {
        let poll = bob.get(SYNC).query("timeout", "60000");
        let poll = poll.query("since", since.as_str().unwrap()).send();
        let say = async {
            // Until the poll waits.
            while waiters() <= IDLERS * POLLS {
                tokio::task::yield_now().await;
            }
            alice.say(&room, &format!("message {number}")).await
        };
        let (answer, event_id) = tokio::join!(poll, say);
        let answer = answer.ok();
        let events = &answer["rooms"]["join"][&room]["timeline"]["events"];
        assert_eq!(events[0]["event_id"], event_id.as_str());
        since = answer["next_batch"].clone();
    }
    assert!(polls.try_join_next().is_none());
    assert_eq!(waiters(), IDLERS * POLLS);
}

#[tokio::test]
async fn a_crowd_in_one_room_leaves_others_their_turn() {
    let server = TestServer::start().await;
    let alice = Arc::new(server.register("alice").await);
    let bob = server.register("bob").await;
    let crowded = alice.create_room(json!({})).await;
    let quiet = bob.create_room(json!({})).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let begin = Arc::new(Barrier::new(HAMMERS + 1));
    let mut hammers = JoinSet::new();
    for _ in 0..HAMMERS {
        let (alice, crowded) = (Arc::clone(&alice), crowded.clone());
        let (sent, begin) = (Arc::clone(&sent), Arc::clone(&begin));
        hammers.spawn(async move {
            begin.wait().await;
            loop {
                alice.say(&crowded, "me first").await;
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    begin.wait().await;
    // Once all of them have a message under way.
    while sent.load(Ordering::Relaxed) < HAMMERS {
        tokio::task::yield_now().await;
    }
    let before = sent.load(Ordering::Relaxed);
    for number in 0..OTHERS {
        bob.say(&quiet, &format!("message {number}")).await;
    }
    // In turn, everybody gets one message through while somebody else does.
    let meanwhile = sent.load(Ordering::Relaxed) - before;
    assert!(meanwhile <= 3 * HAMMERS * OTHERS, "{meanwhile}");
    assert!(hammers.try_join_next().is_none());
}
