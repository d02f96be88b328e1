//! `device_lists` with users of other servers: with whom one shares encrypted rooms, and no longer.

use serde_json::json;

use super::{
    matrix::{join, two, until},
    pair::Peer,
};
use crate::{
    support::{TestUser, encode},
    sync::device_lists::{Told, changed, encrypt, encrypted_room, left, now, told},
};

async fn act(user: &TestUser, room: &str, act: &str, target: Option<&TestUser>) {
    let path = format!("/_matrix/client/v3/rooms/{}/{act}", encode(room));
    let body = target.map_or(json!({}), |target| json!({ "user_id": target.id }));
    user.post(&path).json(&body).send().await.ok();
}

/// Once the other server's word has come, this is what a user is told since a moment. The moment
/// that it leads to.
async fn until_told(user: &TestUser, since: &str, expected: &Told) -> String {
    let what = format!("{} is told {expected:?}", user.id);
    until(&what, async || told(user, since).await.0 == *expected).await;
    told(user, since).await.1
}

/// A room of alice here and bob there, who has come in.
async fn shared(here: &Peer, alice: &TestUser, bob: &TestUser) -> String {
    let room = encrypted_room(alice).await;
    let (by_alice, by_bob) = (now(alice).await, now(bob).await);
    join(bob, &room, here).await.ok();
    until_told(alice, &by_alice, &changed(&[bob])).await;
    until_told(bob, &by_bob, &changed(&[alice])).await;
    room
}

#[tokio::test]
async fn who_leaves_there_has_left_on_both_sides() {
    let (here, _there, alice, bob) = two().await;
    let room = shared(&here, &alice, &bob).await;
    let (by_alice, by_bob) = (now(&alice).await, now(&bob).await);
    // Their server sends the leave in a transaction.
    act(&bob, &room, "leave", None).await;
    let gone = until_told(&alice, &by_alice, &left(&[&bob])).await;
    until_told(&bob, &by_bob, &left(&[&alice])).await;
    assert_eq!(told(&alice, &gone).await.0, Told::default());
}

#[tokio::test]
async fn who_leaves_here_has_left_on_both_sides() {
    let (here, _there, alice, bob) = two().await;
    let room = shared(&here, &alice, &bob).await;
    let (by_alice, by_bob) = (now(&alice).await, now(&bob).await);
    act(&alice, &room, "leave", None).await;
    until_told(&alice, &by_alice, &left(&[&bob])).await;
    until_told(&bob, &by_bob, &left(&[&alice])).await;
}

#[tokio::test]
async fn who_is_kicked_or_banned_has_left_on_both_sides() {
    let (here, _there, alice, bob) = two().await;
    for sanction in ["kick", "ban"] {
        let room = shared(&here, &alice, &bob).await;
        let (by_alice, by_bob) = (now(&alice).await, now(&bob).await);
        act(&alice, &room, sanction, Some(&bob)).await;
        until_told(&alice, &by_alice, &left(&[&bob])).await;
        until_told(&bob, &by_bob, &left(&[&alice])).await;
    }
}

#[tokio::test]
async fn another_shared_room_keeps_them_together() {
    let (here, _there, alice, bob) = two().await;
    let one = shared(&here, &alice, &bob).await;
    let (by_alice, by_bob) = (now(&alice).await, now(&bob).await);
    let other = encrypted_room(&alice).await;
    join(&bob, &other, &here).await.ok();
    act(&bob, &one, "leave", None).await;
    let marker = bob.say(&other, "still here").await;
    until("the message", async || {
        alice.sync(None).await.to_string().contains(&marker)
    })
    .await;
    assert_eq!(told(&alice, &by_alice).await.0, Told::default());
    assert_eq!(told(&bob, &by_bob).await.0, Told::default());
    act(&bob, &other, "leave", None).await;
    until_told(&alice, &by_alice, &left(&[&bob])).await;
    until_told(&bob, &by_bob, &left(&[&alice])).await;
}

#[tokio::test]
async fn who_comes_back_learns_who_went_meanwhile() {
    let (here, _there, alice, bob) = two().await;
    let room = shared(&here, &alice, &bob).await;
    let carol = here.server.register("carol").await;
    let since = now(&bob).await;
    carol.join(&room).await;
    let by_alice = now(&alice).await;
    let with_carol = until_told(&bob, &since, &changed(&[&carol])).await;
    // There is nobody of bob's server left in the room, and nobody tells it that carol goes.
    act(&bob, &room, "leave", None).await;
    until_told(&alice, &by_alice, &left(&[&bob])).await;
    act(&carol, &room, "leave", None).await;
    join(&bob, &room, &here).await.ok();
    let (news, _) = told(&bob, &with_carol).await;
    let both = changed(&[&alice]).and(left(&[&carol]));
    assert_eq!(news, both);
    until_told(&alice, &by_alice, &changed(&[&bob]).and(left(&[&carol]))).await;
}

#[tokio::test]
async fn encryption_brings_all_together_and_nothing_else_does() {
    let (here, _there, alice, bob) = two().await;
    let body = json!({ "preset": "public_chat" });
    let room = alice.create_room(body).await;
    let (alone, stranger) = (now(&alice).await, now(&bob).await);
    join(&bob, &room, &here).await.ok();
    let marker = bob.say(&room, "hello").await;
    until("the message", async || {
        alice.sync(None).await.to_string().contains(&marker)
    })
    .await;
    let (news, by_alice) = told(&alice, &alone).await;
    assert_eq!(news, Told::default());
    let (news, by_bob) = told(&bob, &stranger).await;
    assert_eq!(news, Told::default());
    encrypt(&alice, &room).await;
    until_told(&alice, &by_alice, &changed(&[&bob])).await;
    until_told(&bob, &by_bob, &changed(&[&alice])).await;
}
