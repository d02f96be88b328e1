//! Two servers that share a room, with nothing between them but what they send each other.

use std::time::Duration;

use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::{TestUser, encode};

/// Alice's server and bob's, and a room of both.
struct Shared {
    /// Serve until the test ends.
    _peers: [Peer; 2],
    alice: TestUser,
    bob: TestUser,
    room: String,
}

impl Shared {
    async fn new() -> Self {
        let (here, there) = tokio::join!(
            Peer::start(),
            Peer::start_at("localhost", |builder| builder)
        );
        let alice = here.server.register("alice").await;
        let bob = there.server.register("bob").await;
        let body = json!({ "preset": "public_chat", "room_version": "12" });
        let room = alice.create_room(body).await;
        let path = format!("/_matrix/client/v3/join/{}", encode(&room));
        let join = bob.post(&path).query("via", &here.name).json(&json!({}));
        join.send().await.ok();
        Self {
            _peers: [here, there],
            alice,
            bob,
            room,
        }
    }
}

/// What a user sees of the room, once it is as the test wants it.
async fn sees(user: &TestUser, room: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let sync = user.sync(None).await;
            let seen = sync["rooms"]["join"][room].clone();
            if wanted(&seen) {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(30), look).await;
    seen.unwrap_or_else(|_| panic!("{} does not see it", user.id))
}

fn texts(seen: &Value) -> Vec<&str> {
    let events = seen["timeline"]["events"].as_array();
    let events = events.into_iter().flatten();
    events
        .filter_map(|event| event["content"]["body"].as_str())
        .collect()
}

fn content<'a>(seen: &'a Value, kind: &str) -> &'a Value {
    let mut events = seen["ephemeral"]["events"].as_array().into_iter().flatten();
    events
        .find(|event| event["type"] == kind)
        .map_or(&Value::Null, |it| &it["content"])
}

#[tokio::test]
async fn messages_typing_and_receipts_go_both_ways() {
    let shared = Shared::new().await;
    let Shared {
        alice, bob, room, ..
    } = &shared;
    alice.say(room, "hello").await;
    sees(bob, room, |seen| texts(seen).ends_with(&["hello"])).await;
    let answer = bob.say(room, "hello yourself").await;
    sees(alice, room, |seen| {
        texts(seen) == ["hello", "hello yourself"]
    })
    .await;

    for (user, other) in [(alice, bob), (bob, alice)] {
        let typing = format!(
            "/_matrix/client/v3/rooms/{}/typing/{}",
            encode(room),
            encode(&user.id)
        );
        for types in [true, false] {
            let body = json!({ "typing": types, "timeout": 60_000 });
            user.put(&typing).json(&body).send().await.ok();
            let who = if types { json!([user.id]) } else { json!([]) };
            sees(other, room, |seen| {
                let now = &content(seen, "m.typing")["user_ids"];
                *now == who || (!types && now.is_null())
            })
            .await;
        }
        let receipt = format!(
            "/_matrix/client/v3/rooms/{}/receipt/m.read/{}",
            encode(room),
            encode(&answer)
        );
        user.post(&receipt).json(&json!({})).send().await.ok();
        sees(other, room, |seen| {
            content(seen, "m.receipt")[&answer]["m.read"][&user.id].is_object()
        })
        .await;
    }
}
