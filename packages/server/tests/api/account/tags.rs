//! `/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags[/{tag}]`

use serde_json::json;

use crate::support::{TestServer, encode};

fn path(user: &str, room: &str, tag: &str) -> String {
    let (user, room) = (encode(user), encode(room));
    let tags = format!("/_matrix/client/v3/user/{user}/rooms/{room}/tags");
    if tag.is_empty() {
        tags
    } else {
        format!("{tags}/{}", encode(tag))
    }
}

#[tokio::test]
async fn tags_a_room_and_shows_it_in_sync() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = |tag: &str| path(&alice.id, &room, tag);
    assert_eq!(
        alice.get(&path("")).send().await.ok(),
        json!({ "tags": {} })
    );
    let since = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let order = json!({ "order": 0.25 });
    alice
        .put(&path("m.favourite"))
        .json(&order)
        .send()
        .await
        .ok();
    let request = alice.put(&path("u.work")).json(&json!({}));
    request.send().await.ok();
    let tags = json!({ "tags": { "m.favourite": { "order": 0.25 }, "u.work": {} } });
    assert_eq!(alice.get(&path("")).send().await.ok(), tags);
    let sync = alice.sync(Some(&since)).await;
    assert_eq!(
        sync["rooms"]["join"][&room]["account_data"]["events"],
        json!([{ "type": "m.tag", "content": tags }])
    );
    alice.delete(&path("m.favourite")).send().await.ok();
    alice.delete(&path("u.unknown")).send().await.ok();
    let left = json!({ "tags": { "u.work": {} } });
    assert_eq!(alice.get(&path("")).send().await.ok(), left);
}

#[tokio::test]
async fn many_tags_set_at_once_are_all_there() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let set = (0..20).map(|number| {
        let path = path(&alice.id, &room, &format!("u.{number}"));
        alice.put(&path).json(&json!({})).send()
    });
    for answer in futures_util::future::join_all(set).await {
        answer.ok();
    }
    let tags = alice.get(&path(&alice.id, &room, "")).send().await.ok();
    assert_eq!(tags["tags"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn belongs_to_its_user_and_is_bounded() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    let foreign = path(&alice.id, &room, "u.x");
    let answer = bob.put(&foreign).json(&json!({})).send().await;
    answer.error(403, "M_FORBIDDEN");
    bob.delete(&foreign).send().await.error(403, "M_FORBIDDEN");
    let answer = bob.get(&path(&alice.id, &room, "")).send().await;
    answer.error(403, "M_FORBIDDEN");
    let long = path(&alice.id, &room, &"x".repeat(256));
    let answer = alice.put(&long).json(&json!({})).send().await;
    answer.error(400, "M_INVALID_PARAM");
    let answer = alice.put(&foreign).json(&json!("x")).send().await;
    answer.error(400, "M_BAD_JSON");
}
