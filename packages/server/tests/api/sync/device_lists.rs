//! `device_lists` in `/sync`, and the same in `/keys/changes`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{act, token};
use crate::support::{Launch, Site, TestServer, TestUser, encode};

const CHANGES: &str = "/_matrix/client/v3/keys/changes";

/// What a user is told since a moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    changed: BTreeSet<String>,
    left: BTreeSet<String>,
}

impl Told {
    fn of(lists: &Value) -> Self {
        let users = |list: &Value| -> BTreeSet<String> {
            let users = list.as_array().into_iter().flatten();
            users.map(|it| it.as_str().unwrap().to_owned()).collect()
        };
        Self {
            changed: users(&lists["changed"]),
            left: users(&lists["left"]),
        }
    }
}

impl Told {
    /// Those left as well.
    pub(crate) fn and_left<'a>(mut self, users: impl IntoIterator<Item = &'a str>) -> Self {
        self.left.extend(users.into_iter().map(str::to_owned));
        self
    }

    /// Is a user among those who changed?
    pub(crate) fn has_changed(&self, user: &str) -> bool {
        self.changed.contains(user)
    }

    /// Both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.changed.extend(other.changed);
        self.left.extend(other.left);
        self
    }
}

/// These changed.
pub(crate) fn changed(users: &[&TestUser]) -> Told {
    Told {
        changed: users.iter().map(|user| user.id.clone()).collect(),
        ..Told::default()
    }
}

/// These left.
pub(crate) fn left(users: &[&TestUser]) -> Told {
    Told {
        left: users.iter().map(|user| user.id.clone()).collect(),
        ..Told::default()
    }
}

/// What a sync from there tells, which is what `/keys/changes` tells; and where it leads.
pub(crate) async fn told(user: &TestUser, since: &str) -> (Told, String) {
    let sync = user.sync(Some(since)).await;
    let next = token(&sync).to_owned();
    let changes = user.get(CHANGES).query("from", since).query("to", &next);
    let changes = Told::of(&changes.send().await.ok());
    let told = Told::of(&sync["device_lists"]);
    assert_eq!(told, changes);
    (told, next)
}

pub(crate) async fn now(user: &TestUser) -> String {
    token(&user.sync(None).await).to_owned()
}

pub(crate) fn encryption() -> Value {
    json!({
        "type": "m.room.encryption",
        "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    })
}

/// A public room that is encrypted from the start.
pub(crate) async fn encrypted_room(user: &TestUser) -> String {
    let body = json!({ "preset": "public_chat", "initial_state": [encryption()] });
    user.create_room(body).await
}

pub(crate) async fn encrypt(user: &TestUser, room: &str) {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.encryption",
        encode(room)
    );
    let content = &encryption()["content"];
    user.put(&path).json(content).send().await.ok();
}

/// Opens a session on another device.
pub(crate) async fn log_in(server: &TestServer, user: &TestUser) -> TestUser {
    let name = user.id.split([':', '@']).nth(1).unwrap();
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": TestUser::PASSWORD,
    });
    let login = server.post("/_matrix/client/v3/login").json(&body);
    TestUser::new(server.router.clone(), &login.send().await.ok())
}

async fn three() -> (TestServer, TestUser, TestUser, TestUser) {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    (server, alice, bob, carol)
}

#[tokio::test]
async fn who_comes_into_an_encrypted_room_is_news_and_who_goes_is_too() {
    let (_server, alice, bob, carol) = three().await;
    let room = encrypted_room(&alice).await;
    let (alone, before) = (now(&alice).await, now(&bob).await);
    bob.join(&room).await;
    let (news, together) = told(&alice, &alone).await;
    assert_eq!(news, changed(&[&bob]));
    assert_eq!(told(&bob, &before).await.0, changed(&[&alice]));
    carol.join(&room).await;
    let (news, all) = told(&alice, &together).await;
    assert_eq!(news, changed(&[&carol]));
    act(&bob, &room, "leave", json!({})).await;
    let (news, without) = told(&alice, &all).await;
    assert_eq!(news, left(&[&bob]));
    assert_eq!(told(&alice, &without).await.0, Told::default());
    // From before bob came, nothing is left of him but that he was here.
    let (news, _) = told(&alice, &alone).await;
    assert_eq!(news, changed(&[&carol]).and(left(&[&bob])));
}

#[tokio::test]
async fn every_device_and_every_retry_is_told_the_same() {
    let (server, alice, bob, carol) = three().await;
    let second = log_in(&server, &alice).await;
    let room = encrypted_room(&alice).await;
    bob.join(&room).await;
    carol.join(&room).await;
    let one = now(&alice).await;
    act(&bob, &room, "leave", json!({})).await;
    let other = now(&second).await;
    act(&carol, &room, "leave", json!({})).await;
    for _ in 0..2 {
        assert_eq!(told(&alice, &one).await.0, left(&[&bob, &carol]));
        assert_eq!(told(&second, &other).await.0, left(&[&carol]));
        assert_eq!(told(&second, &one).await.0, left(&[&bob, &carol]));
    }
}

#[tokio::test]
async fn a_room_without_encryption_is_no_reason() {
    let (_server, alice, bob, _) = three().await;
    let body = json!({ "preset": "public_chat" });
    let room = alice.create_room(body).await;
    let alone = now(&alice).await;
    bob.join(&room).await;
    assert_eq!(told(&alice, &alone).await.0, Told::default());
    act(&bob, &room, "leave", json!({})).await;
    assert_eq!(told(&alice, &alone).await.0, Told::default());
}

#[tokio::test]
async fn another_encrypted_room_keeps_them_together() {
    let (_server, alice, bob, _) = three().await;
    let (one, other) = (encrypted_room(&alice).await, encrypted_room(&alice).await);
    bob.join(&one).await;
    let since = now(&alice).await;
    bob.join(&other).await;
    let (news, both) = told(&alice, &since).await;
    assert_eq!(news, Told::default());
    act(&bob, &one, "leave", json!({})).await;
    let (news, in_other) = told(&alice, &both).await;
    assert_eq!(news, Told::default());
    act(&bob, &other, "leave", json!({})).await;
    assert_eq!(told(&alice, &in_other).await.0, left(&[&bob]));
    assert_eq!(told(&alice, &since).await.0, left(&[&bob]));
}

#[tokio::test]
async fn who_is_kicked_or_banned_has_left() {
    let (_server, alice, bob, carol) = three().await;
    let room = encrypted_room(&alice).await;
    bob.join(&room).await;
    carol.join(&room).await;
    let (watching, thrown_out) = (now(&alice).await, now(&bob).await);
    act(&alice, &room, "kick", json!({ "user_id": bob.id })).await;
    act(&alice, &room, "ban", json!({ "user_id": carol.id })).await;
    assert_eq!(told(&alice, &watching).await.0, left(&[&bob, &carol]));
    // He has lost those who were there when he was kicked.
    assert_eq!(told(&bob, &thrown_out).await.0, left(&[&alice, &carol]));
}

#[tokio::test]
async fn who_leaves_loses_everybody_there() {
    let (_server, alice, bob, carol) = three().await;
    let (room, shared) = (encrypted_room(&alice).await, encrypted_room(&carol).await);
    for user in [&bob, &carol] {
        user.join(&room).await;
    }
    bob.join(&shared).await;
    let since = now(&bob).await;
    act(&bob, &room, "leave", json!({})).await;
    // What happens there afterwards is none of his business.
    act(&alice, &room, "leave", json!({})).await;
    let (news, gone) = told(&bob, &since).await;
    assert_eq!(news, left(&[&alice]));
    assert_eq!(told(&bob, &gone).await.0, Told::default());
}

#[tokio::test]
async fn who_comes_back_at_once_is_looked_at_anew() {
    let (_server, alice, bob, _) = three().await;
    let room = encrypted_room(&alice).await;
    bob.join(&room).await;
    let (watching, away) = (now(&alice).await, now(&bob).await);
    act(&bob, &room, "leave", json!({})).await;
    bob.join(&room).await;
    assert_eq!(told(&alice, &watching).await.0, changed(&[&bob]));
    assert_eq!(told(&bob, &away).await.0, changed(&[&alice]));
}

#[tokio::test]
async fn a_room_that_becomes_encrypted_brings_all_together() {
    let (_server, alice, bob, carol) = three().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    for user in [&bob, &carol] {
        user.join(&room).await;
    }
    let since = now(&bob).await;
    act(&carol, &room, "leave", json!({})).await;
    encrypt(&alice, &room).await;
    assert_eq!(told(&bob, &since).await.0, changed(&[&alice]));
    assert_eq!(told(&carol, &now(&carol).await).await.0, Told::default());
}

#[tokio::test]
async fn a_new_device_is_news_for_all_who_share_a_room() {
    let (server, alice, bob, carol) = three().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let (watching, own, stranger) = (now(&bob).await, now(&alice).await, now(&carol).await);
    let second = log_in(&server, &alice).await;
    assert_eq!(told(&bob, &watching).await.0, changed(&[&alice]));
    assert_eq!(told(&alice, &own).await.0, changed(&[&alice]));
    assert_eq!(told(&carol, &stranger).await.0, Told::default());
    let watching = now(&bob).await;
    second.post("/_matrix/client/v3/logout").send().await.ok();
    assert_eq!(told(&bob, &watching).await.0, changed(&[&alice]));
}

#[tokio::test]
async fn a_waiting_sync_is_told_at_once() {
    let (server, alice, bob, _) = three().await;
    let room = encrypted_room(&alice).await;
    bob.join(&room).await;
    let since = now(&bob).await;
    let waiting = bob.get(super::SYNC).query("since", &since);
    let waiting = waiting.query("timeout", "60000").send();
    let (answer, _) = tokio::join!(waiting, log_in(&server, &alice));
    let told = Told::of(&answer.ok()["device_lists"]);
    assert_eq!(told, changed(&[&alice]));
}

#[tokio::test]
async fn a_moment_must_be_one() {
    let (_server, alice, _, _) = three().await;
    let now = now(&alice).await;
    for (from, to) in [("x", now.as_str()), (&now, "s"), ("", "")] {
        let request = alice.get(CHANGES).query("from", from).query("to", to);
        request.send().await.error(400, "M_INVALID_PARAM");
    }
    let request = alice.get(CHANGES).query("from", &now);
    request.send().await.error(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn a_token_from_before_a_crash_is_told_all() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let process = launch.start().await;
    let site = process.site.clone();
    let mut sessions = Vec::new();
    for name in ["alice", "bob", "carol"] {
        sessions.push(site.register(name).await);
    }
    let ask = async |site: &Site, nth: usize, path: &str, body: Option<Value>| {
        let token = &sessions[nth];
        let request = match body {
            Some(body) => site.post(path).json(&body),
            None => site.get(path),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let create = json!({ "preset": "public_chat", "initial_state": [encryption()] });
    let room = ask(&site, 0, "/_matrix/client/v3/createRoom", Some(create)).await;
    let room = encode(room["room_id"].as_str().unwrap());
    let enter = format!("/_matrix/client/v3/join/{room}");
    ask(&site, 1, &enter, Some(json!({}))).await;
    let sync = ask(&site, 0, super::SYNC, None).await;
    let since = format!("{}?since={}", super::SYNC, token(&sync));
    ask(&site, 2, &enter, Some(json!({}))).await;
    let leave = format!("/_matrix/client/v3/rooms/{room}/leave");
    ask(&site, 1, &leave, Some(json!({}))).await;
    process.kill().await;
    let process = launch.start().await;
    let sync = ask(&process.site, 0, &since, None).await;
    let lists = json!({
        "changed": ["@carol:test.example"],
        "left": ["@bob:test.example"],
    });
    assert_eq!(sync["device_lists"], lists);
}
