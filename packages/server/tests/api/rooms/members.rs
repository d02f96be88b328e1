//! `GET /rooms/{roomId}/members`, `GET /rooms/{roomId}/joined_members`, `GET /joined_rooms`

use serde_json::{Value, json};

use super::{room_path, say_many};
use crate::support::{TestServer, encode};

fn users(members: &Value) -> Vec<String> {
    let chunk = members["chunk"].as_array().unwrap();
    let mut users: Vec<String> = chunk
        .iter()
        .map(|event| {
            assert_eq!(event["type"], "m.room.member");
            event["state_key"].as_str().unwrap().to_owned()
        })
        .collect();
    users.sort();
    users
}

#[tokio::test]
async fn lists_members_by_membership() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    alice.invite(&room, &carol.id).await;
    bob.post(&room_path(&room, "leave"))
        .json(&json!({}))
        .send()
        .await
        .ok();

    let path = room_path(&room, "members");
    let ask = async |name: &str, value: &str| {
        let request = alice.get(&path).query(name, value);
        users(&request.send().await.ok())
    };
    assert_eq!(
        users(&alice.get(&path).send().await.ok()),
        [&*alice.id, &bob.id, &carol.id]
    );
    assert_eq!(ask("membership", "join").await, [&*alice.id]);
    assert_eq!(ask("membership", "invite").await, [&*carol.id]);
    assert_eq!(
        ask("not_membership", "leave").await,
        [&*alice.id, &carol.id]
    );
    let both = alice
        .get(&path)
        .query("membership", "join")
        .query("not_membership", "join");
    assert_eq!(users(&both.send().await.ok()), [""; 0]);
}

#[tokio::test]
async fn lists_members_at_a_moment() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let before = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    bob.join(&room).await;
    say_many(&alice, &room, 80).await;
    let path = room_path(&room, "members");
    let then = alice.get(&path).query("at", &before).send().await.ok();
    assert_eq!(users(&then), [&*alice.id]);
    let now = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let now = alice.get(&path).query("at", &now).send().await.ok();
    assert_eq!(users(&now), [&*alice.id, &bob.id]);
    let garbage = alice.get(&path).query("at", "garbage").send().await;
    garbage.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn somebody_who_left_sees_the_members_of_then() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    bob.post(&room_path(&room, "leave"))
        .json(&json!({}))
        .send()
        .await
        .ok();
    carol.join(&room).await;

    let members = bob.get(&room_path(&room, "members")).send().await.ok();
    assert_eq!(users(&members), [&*alice.id, &bob.id]);
    let now = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = room_path(&room, "members");
    let later = bob.get(&path).query("at", &now).send().await.ok();
    assert_eq!(
        users(&later),
        [&*alice.id, &bob.id],
        "no later than the leave"
    );
    let joined = bob.get(&room_path(&room, "joined_members")).send().await;
    joined.error(403, "M_FORBIDDEN");

    bob.post(&room_path(&room, "forget"))
        .json(&json!({}))
        .send()
        .await
        .ok();
    let forgotten = bob.get(&room_path(&room, "members")).send().await;
    forgotten.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn somebody_who_never_joined_sees_nobody() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    for endpoint in ["members", "joined_members", "state"] {
        let path = room_path(&room, endpoint);
        bob.get(&path).send().await.error(403, "M_FORBIDDEN");
        server.get(&path).send().await.error(401, "M_MISSING_TOKEN");
    }
    alice.invite(&room, &bob.id).await;
    for endpoint in ["members", "joined_members", "state"] {
        let path = room_path(&room, endpoint);
        bob.get(&path).send().await.error(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn lists_joined_members_with_their_profiles() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let path = room_path(&room, &format!("state/m.room.member/{}", encode(&bob.id)));
    let content = json!({ "membership": "join", "displayname": "Bob", "avatar_url": "mxc://x/y" });
    bob.put(&path).json(&content).send().await.ok();
    let body = alice
        .get(&room_path(&room, "joined_members"))
        .send()
        .await
        .ok();
    assert_eq!(body["joined"].as_object().unwrap().len(), 2);
    let profile = json!({ "display_name": "Bob", "avatar_url": "mxc://x/y" });
    assert_eq!(body["joined"][&bob.id], profile);
}

#[tokio::test]
async fn lists_the_rooms_that_one_is_in() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (one, two) = (
        alice.create_room(json!({})).await,
        alice.create_room(json!({})).await,
    );
    alice
        .post(&room_path(&one, "leave"))
        .json(&json!({}))
        .send()
        .await
        .ok();
    let body = alice
        .get("/_matrix/client/v3/joined_rooms")
        .send()
        .await
        .ok();
    assert_eq!(body, json!({ "joined_rooms": [two] }));
}
