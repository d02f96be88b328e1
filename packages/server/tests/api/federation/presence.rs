//! Presence between servers.

use serde_json::{Value, json};

use super::{
    matrix::{join, two, until},
    pair::Peer,
    partner::Partner,
    sender::shared_room,
};
use crate::support::{TestUser, encode};

async fn status(reader: &TestUser, user: &str) -> Value {
    let path = format!("/_matrix/client/v3/presence/{}/status", encode(user));
    reader.get(&path).send().await.ok()
}

#[tokio::test]
async fn who_is_online_there_is_seen_here() {
    let (here, _there, alice, bob) = two().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    join(&bob, &room, &here).await.ok();
    bob.sync(None).await;
    until("bob is online", async || {
        status(&alice, &bob.id).await["presence"] == "online"
    })
    .await;
    let path = format!("/_matrix/client/v3/presence/{}/status", encode(&alice.id));
    let body = json!({ "presence": "unavailable", "status_msg": "away" });
    alice.put(&path).json(&body).send().await.ok();
    until("alice is away", async || {
        let status = status(&bob, &alice.id).await;
        status["presence"] == "unavailable" && status["status_msg"] == "away"
    })
    .await;
}

#[tokio::test]
async fn only_a_users_own_server_says_what_they_are_and_only_in_form() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let (eve, stranger) = (partner.user("eve"), partner.user("stranger"));
    shared_room(&home, &alice, &[&partner]).await;
    let of = |user: &str, presence: &str| json!({ "user_id": user, "presence": presence, "last_active_ago": 5 });
    let push = json!([
        7,
        {},
        of("no user", "online"),
        of(&alice.id, "unavailable"),
        of(&stranger, "online"),
        of(&eve, "asleep"),
        of(&eve, "online"),
    ]);
    let edus = json!([
        { "edu_type": "m.presence", "content": { "push": 5 } },
        { "edu_type": "m.presence", "content": { "push": push } },
    ]);
    partner.send(&home, "one", json!([]), edus).await;
    assert_eq!(status(&alice, &eve).await["presence"], "online");
    assert_eq!(status(&alice, &alice.id).await["presence"], "offline");
    let hub = home.server.app.sync.presence();
    assert!(hub.get((&*stranger).try_into().unwrap()).is_none());
}
