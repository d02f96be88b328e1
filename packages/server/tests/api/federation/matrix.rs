//! Servers that share rooms: what is done on one is seen on all, and all have the same state.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{link::Link, pair::Peer};
use crate::support::{Answer, TestUser, encode};

const VERSIONS: [&str; 4] = ["6", "10", "11", "12"];

/// Longest wait for what another server does.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same room, seen by a user.
struct Seen<'a> {
    user: &'a TestUser,
    room: &'a str,
}

impl<'a> Seen<'a> {
    fn by(user: &'a TestUser, room: &'a str) -> Self {
        Self { user, room }
    }

    fn path(&self, rest: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/{rest}", encode(self.room))
    }

    async fn act(&self, act: &str, target: &TestUser) -> Answer {
        let body = json!({ "user_id": target.id });
        self.user.post(&self.path(act)).json(&body).send().await
    }

    async fn put(&self, kind: &str, content: Value) {
        let path = self.path(&format!("state/{kind}/"));
        self.user.put(&path).json(&content).send().await.ok();
    }

    async fn state(&self) -> Vec<String> {
        let answer = self.user.get(&self.path("state")).send().await;
        if answer.status != 200 {
            return Vec::new();
        }
        let answer = answer.ok();
        let events = answer.as_array().unwrap().iter();
        let mut ids: Vec<String> = events
            .map(|event| event["event_id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// What was said, oldest first.
    async fn texts(&self) -> Vec<String> {
        let request = self.user.get(&self.path("messages")).query("dir", "b");
        let answer = request.query("limit", "100").send().await.ok();
        let events = answer["chunk"].as_array().unwrap().iter().rev();
        events
            .filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned()))
            .collect()
    }

    async fn membership(&self, of: &TestUser) -> Value {
        let path = self.path(&format!("state/m.room.member/{}", encode(&of.id)));
        let answer = self.user.get(&path).send().await;
        if answer.status == 200 {
            answer.ok()["membership"].clone()
        } else {
            Value::Null
        }
    }

    async fn until_membership(&self, of: &TestUser, membership: &str) {
        until(membership, async || self.membership(of).await == membership).await;
    }

    async fn until_texts(&self, texts: &[&str]) {
        until(&format!("{texts:?}"), async || self.texts().await == texts).await;
    }
}

pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}");
}

/// All who see a room see the same.
async fn until_same(views: &[&Seen<'_>]) {
    let same = async || {
        let mut states = Vec::new();
        for view in views {
            states.push(view.state().await);
        }
        !states[0].is_empty() && states.iter().all(|state| *state == states[0])
    };
    until("the same state", same).await;
}

pub(super) async fn join(user: &TestUser, room: &str, via: &Peer) -> Answer {
    let path = format!("/_matrix/client/v3/join/{}", encode(room));
    let request = user.post(&path).query("via", via.name.as_str());
    request.json(&json!({})).send().await
}

fn public(version: &str) -> Value {
    json!({ "preset": "public_chat", "room_version": version })
}

/// What a user's `/sync` says of a room: where it is listed.
async fn list_of(user: &TestUser, room: &str) -> Option<&'static str> {
    let filter = json!({ "room": { "include_leave": true } }).to_string();
    let sync = user.get("/_matrix/client/v3/sync").query("filter", &filter);
    let sync = sync.send().await.ok();
    let lists = ["join", "invite", "knock", "leave"];
    lists
        .into_iter()
        .find(|list| sync["rooms"][list][room].is_object())
}

pub(super) async fn two() -> (Peer, Peer, TestUser, TestUser) {
    let (here, there) = tokio::join!(
        Peer::start(),
        Peer::start_at("localhost", |builder| builder)
    );
    let alice = here.server.register("alice").await;
    let bob = there.server.register("bob").await;
    (here, there, alice, bob)
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (here, _there, alice, bob) = two().await;
    for version in VERSIONS {
        let room = alice.create_room(public(version)).await;
        join(&bob, &room, &here).await.ok();
        let (by_alice, by_bob) = (Seen::by(&alice, &room), Seen::by(&bob, &room));
        let mut said = Vec::new();
        for (user, text) in [(&alice, "1"), (&bob, "2"), (&bob, "3"), (&alice, "4")] {
            user.say(&room, text).await;
            said.push(text);
            by_alice.until_texts(&said).await;
            by_bob.until_texts(&said).await;
        }
        until_same(&[&by_alice, &by_bob]).await;
    }
}

#[tokio::test]
async fn sanctions_hold_on_both_sides() {
    let (here, there, alice, bob) = two().await;
    for version in VERSIONS {
        let room = alice.create_room(public(version)).await;
        let (by_alice, by_bob) = (Seen::by(&alice, &room), Seen::by(&bob, &room));
        join(&bob, &room, &here).await.ok();
        by_alice.act("kick", &bob).await.ok();
        until("kicked", async || {
            list_of(&bob, &room).await == Some("leave")
        })
        .await;
        join(&bob, &room, &here).await.ok();
        until_same(&[&by_alice, &by_bob]).await;

        by_alice.act("ban", &bob).await.ok();
        until("banned", async || {
            list_of(&bob, &room).await == Some("leave")
        })
        .await;
        join(&bob, &room, &here).await.error(403, "M_FORBIDDEN");
        by_alice.act("unban", &bob).await.ok();
        join(&bob, &room, &here).await.ok();
        until_same(&[&by_alice, &by_bob]).await;

        // The one who came from elsewhere gets the power to do the same.
        let mut users = json!({ (bob.id.as_str()): 90 });
        if version != "12" {
            users[alice.id.as_str()] = json!(100);
        }
        let levels = json!({ "users": users });
        by_alice.put("m.room.power_levels", levels).await;
        until_same(&[&by_alice, &by_bob]).await;
        let carol = format!("carol{version}");
        let carol = here.server.register(&carol).await;
        join(&carol, &room, &there).await.ok();
        by_bob.until_membership(&carol, "join").await;
        by_bob.act("ban", &carol).await.ok();
        by_alice.until_membership(&carol, "ban").await;
        by_bob.act("unban", &carol).await.ok();
        by_alice.until_membership(&carol, "leave").await;

        let leave = by_bob.path("leave");
        bob.post(&leave).json(&json!({})).send().await.ok();
        by_alice.until_membership(&bob, "leave").await;
    }
}

#[tokio::test]
async fn an_invite_is_taken_back() {
    let (_here, _there, alice, bob) = two().await;
    for version in VERSIONS {
        let body = json!({ "preset": "private_chat", "room_version": version });
        let room = alice.create_room(body).await;
        alice.invite(&room, &bob.id).await;
        assert_eq!(list_of(&bob, &room).await, Some("invite"));
        Seen::by(&alice, &room).act("kick", &bob).await.ok();
        let gone = async || list_of(&bob, &room).await == Some("leave");
        until("the invite is gone", gone).await;
        alice.invite(&room, &bob.id).await;
        assert_eq!(list_of(&bob, &room).await, Some("invite"));
        bob.join(&room).await;
        assert_eq!(list_of(&bob, &room).await, Some("join"));
    }
}

#[tokio::test]
async fn a_knock_is_answered() {
    let (here, _there, alice, bob) = two().await;
    for version in ["10", "11", "12"] {
        let room = alice
            .create_room(json!({
                "preset": "private_chat",
                "room_version": version,
                "name": "behind a door",
                "initial_state": [{
                    "type": "m.room.join_rules",
                    "state_key": "",
                    "content": { "join_rule": "knock" },
                }],
            }))
            .await;
        let by_alice = Seen::by(&alice, &room);
        let knock = async || {
            let path = format!("/_matrix/client/v3/knock/{}", encode(&room));
            let request = bob.post(&path).query("via", here.name.as_str());
            request.json(&json!({ "reason": "tock" })).send().await.ok();
            by_alice.until_membership(&bob, "knock").await;
            assert_eq!(list_of(&bob, &room).await, Some("knock"));
        };
        knock().await;
        let sync = bob.sync(None).await;
        let shown = sync["rooms"]["knock"][&room]["knock_state"]["events"].to_string();
        assert!(shown.contains("behind a door"), "{shown}");

        by_alice.act("kick", &bob).await.ok();
        until("refused", async || {
            list_of(&bob, &room).await == Some("leave")
        })
        .await;
        knock().await;
        let leave = by_alice.path("leave");
        bob.post(&leave).json(&json!({})).send().await.ok();
        by_alice.until_membership(&bob, "leave").await;
        knock().await;
        alice.invite(&room, &bob.id).await;
        assert_eq!(list_of(&bob, &room).await, Some("invite"));
        bob.join(&room).await;
        until_same(&[&by_alice, &Seen::by(&bob, &room)]).await;
    }
}

#[tokio::test]
async fn a_restricted_room_asks_who_can_let_in() {
    let (here, there, alice, bob) = two().await;
    for version in ["10", "11", "12"] {
        let outer = alice.create_room(public(version)).await;
        let room = alice
            .create_room(json!({
                "preset": "private_chat",
                "room_version": version,
                "power_level_content_override": { "invite": 50 },
                "initial_state": [{
                    "type": "m.room.join_rules",
                    "state_key": "",
                    "content": {
                        "join_rule": "restricted",
                        "allow": [{ "type": "m.room_membership", "room_id": outer }],
                    },
                }],
            }))
            .await;
        join(&bob, &outer, &here).await.ok();
        join(&bob, &room, &here).await.ok();
        // Nobody of carol's server has the power to let her in: alice's server does.
        let carol = there.server.register(&format!("carol{version}")).await;
        join(&carol, &room, &here).await.error(403, "M_FORBIDDEN");
        join(&carol, &outer, &here).await.ok();
        Seen::by(&alice, &outer)
            .until_membership(&carol, "join")
            .await;
        join(&carol, &room, &here).await.ok();
        let by_carol = Seen::by(&carol, &room);
        until_same(&[&Seen::by(&alice, &room), &Seen::by(&bob, &room), &by_carol]).await;
    }
}

struct Three {
    servers: Vec<(Peer, Link)>,
    users: Vec<TestUser>,
    room: String,
}

impl Three {
    async fn new(version: &str) -> Self {
        let (one, two, three) = tokio::join!(
            Peer::start_linked(),
            Peer::start_linked(),
            Peer::start_linked()
        );
        let servers = vec![one, two, three];
        let mut users = Vec::new();
        for ((peer, _), name) in servers.iter().zip(["alice", "bob", "carol"]) {
            users.push(peer.server.register(name).await);
        }
        let room = users[0].create_room(public(version)).await;
        for user in &users[1..] {
            join(user, &room, &servers[0].0).await.ok();
        }
        let three = Self {
            servers,
            users,
            room,
        };
        three.until_same().await;
        three
    }

    fn seen(&self, nth: usize) -> Seen<'_> {
        Seen::by(&self.users[nth], &self.room)
    }

    async fn until_same(&self) {
        until_same(&[&self.seen(0), &self.seen(1), &self.seen(2)]).await;
    }

    async fn cut(&mut self) {
        for (_, link) in &mut self.servers {
            link.cut().await;
        }
    }

    async fn heal(&mut self) {
        for (_, link) in &mut self.servers {
            link.heal().await;
        }
    }

    /// Everybody says the same texts in some order.
    async fn until_all_said(&self, texts: &[&str]) {
        for nth in 0..3 {
            let seen = self.seen(nth);
            let all = async || {
                let said = seen.texts().await;
                texts
                    .iter()
                    .all(|text| said.iter().any(|known| known == text))
            };
            until(&format!("{nth} reads {texts:?}"), all).await;
        }
    }
}

#[tokio::test]
async fn three_servers_hear_each_other() {
    for version in ["10", "12"] {
        let three = Three::new(version).await;
        for (nth, user) in three.users.iter().enumerate() {
            user.say(&three.room, &format!("of {nth}")).await;
        }
        three.until_all_said(&["of 0", "of 1", "of 2"]).await;
        three.until_same().await;
    }
}

#[tokio::test]
async fn after_a_partition_all_have_the_same_state() {
    for version in ["10", "12"] {
        let mut three = Three::new(version).await;
        let alice = &three.users[0];
        let mut powers = json!({});
        for user in &three.users {
            powers[user.id.as_str()] = json!(90);
        }
        if version == "12" {
            powers.as_object_mut().unwrap().remove(&alice.id);
        } else {
            powers[alice.id.as_str()] = json!(100);
        }
        let levels = json!({ "users": powers });
        three.seen(0).put("m.room.power_levels", levels).await;
        three.until_same().await;

        three.cut().await;
        for nth in 0..3 {
            let name = json!({ "name": format!("the room of {nth}") });
            three.seen(nth).put("m.room.name", name).await;
            let topic = json!({ "topic": format!("{nth}") });
            three.seen(nth).put("m.room.topic", topic).await;
            let said = format!("alone {nth}");
            three.users[nth].say(&three.room, &said).await;
        }
        // One takes a power away that another still uses.
        three.seen(0).act("kick", &three.users[2]).await.ok();
        three.heal().await;
        for (nth, user) in three.users.iter().enumerate().take(2) {
            user.say(&three.room, &format!("again {nth}")).await;
        }
        let pair = [&three.seen(0), &three.seen(1)];
        until("again", async || {
            pair[0].texts().await.contains(&"again 1".to_owned())
                && pair[1].texts().await.contains(&"again 0".to_owned())
        })
        .await;
        until_same(&pair).await;
        assert_eq!(pair[1].membership(&three.users[2]).await, "leave");
        let carol = &three.users[2];
        until("carol is out", async || {
            list_of(carol, &three.room).await == Some("leave")
        })
        .await;
    }
}
