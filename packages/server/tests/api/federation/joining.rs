//! Users of this server come into rooms of another one: by themselves, invited, let in.

use std::time::Duration;

use matryx_entity::pending_join::PendingJoin;
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::{Answer, TestUser, encode};

const VERSIONS: [&str; 4] = ["6", "10", "11", "12"];

/// Alice's server, bob's server.
struct Two {
    here: Peer,
    there: Peer,
    alice: TestUser,
    bob: TestUser,
}

impl Two {
    async fn new() -> Self {
        let (here, there) = tokio::join!(
            Peer::start(),
            Peer::start_at("localhost", |builder| builder)
        );
        let alice = here.server.register("alice").await;
        let bob = there.server.register("bob").await;
        Self {
            here,
            there,
            alice,
            bob,
        }
    }

    /// Bob does something to a room that he names by its id, through alice's server.
    async fn bob_does(&self, act: &str, room: &str) -> Answer {
        let (room, via) = (encode(room), self.here.name.to_string());
        let path = format!("/_matrix/client/v3/{act}/{room}");
        let request = self.bob.post(&path).query("via", &via);
        request.json(&json!({})).send().await
    }

    async fn leave(&self, user: &TestUser, room: &str) -> Answer {
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(room));
        user.post(&path).json(&json!({})).send().await
    }
}

async fn member(user: &TestUser, room: &str, of: &str) -> Value {
    let (room, of) = (encode(room), encode(of));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{of}");
    user.get(&path).send().await.ok()
}

async fn state(user: &TestUser, room: &str) -> Vec<(String, String, String)> {
    let path = format!("/_matrix/client/v3/rooms/{}/state", encode(room));
    let answer = user.get(&path).send().await.ok();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let mut state: Vec<_> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let (kind, key) = (text(event, "type"), text(event, "state_key"));
            (kind, key, text(event, "event_id"))
        })
        .collect();
    state.sort();
    state
}

fn room(version: &str, preset: &str) -> Value {
    json!({ "preset": preset, "room_version": version, "name": "the room" })
}

#[tokio::test]
async fn a_public_room_is_joined_and_is_the_same_on_both_sides() {
    let two = Two::new().await;
    for version in VERSIONS {
        let id = two.alice.create_room(room(version, "public_chat")).await;
        two.alice.say(&id, "before").await;
        let since = two.bob.sync(None).await;
        let joined = two.bob_does("join", &id).await.ok();
        assert_eq!(joined["room_id"], id);
        assert_eq!(state(&two.alice, &id).await, state(&two.bob, &id).await);

        let sync = two.bob.sync(since["next_batch"].as_str()).await;
        for sync in [sync, two.bob.sync(None).await] {
            let room = &sync["rooms"]["join"][&id];
            let names = room["state"]["events"].as_array().unwrap().iter();
            let names: Vec<_> = names
                .filter(|event| event["type"] == "m.room.name")
                .collect();
            assert_eq!(names[0]["content"]["name"], "the room", "{room}");
            let timeline = room["timeline"]["events"].as_array().unwrap();
            assert_eq!(timeline.last().unwrap()["state_key"], two.bob.id);
            assert_eq!(room["summary"]["m.joined_member_count"], 2);
        }
        // He speaks in the room as it is here, and joins once more.
        two.bob.say(&id, "after").await;
        two.bob_does("join", &id).await.ok();
    }
}

#[tokio::test]
async fn everybody_joins_at_once() {
    let two = Two::new().await;
    let id = two.alice.create_room(room("12", "public_chat")).await;
    let mut others = Vec::new();
    for name in ["carol", "dave", "eve"] {
        others.push(two.there.server.register(name).await);
    }
    let via = two.here.name.to_string();
    let path = format!("/_matrix/client/v3/join/{}", encode(&id));
    let joins = others.iter().chain([&two.bob]).map(async |user| {
        let request = user.post(&path).query("via", &via).json(&json!({}));
        request.send().await.ok();
    });
    futures_util::future::join_all(joins).await;
    let path = format!("/_matrix/client/v3/rooms/{}/joined_members", encode(&id));
    let members = two.bob.get(&path).send().await.ok();
    assert_eq!(members["joined"].as_object().unwrap().len(), 5, "{members}");
}

#[tokio::test]
async fn a_room_is_joined_by_its_alias() {
    let two = Two::new().await;
    let mut body = room("11", "public_chat");
    body["room_alias_name"] = json!("meeting");
    let id = two.alice.create_room(body).await;
    let alias = format!("#meeting:{}", two.here.name);
    two.bob.join(&alias).await;
    assert_eq!(
        member(&two.bob, &id, &two.bob.id).await["membership"],
        "join"
    );
    let nowhere = encode(format!("#nowhere:{}", two.here.name));
    let answer = two.bob.post(&format!("/_matrix/client/v3/join/{nowhere}"));
    let answer = answer.json(&json!({})).send().await;
    answer.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_room_that_nobody_can_help_with_is_not_joined() {
    let two = Two::new().await;
    let id = two.alice.create_room(room("11", "private_chat")).await;
    let refused = two.bob_does("join", &id).await;
    refused.error(403, "M_FORBIDDEN");
    let unknown = format!("!unknown:{}", two.here.name);
    two.bob_does("join", &unknown)
        .await
        .error(404, "M_NOT_FOUND");
    let path = format!("/_matrix/client/v3/join/{}", encode("!nowhere"));
    let answer = two.bob.post(&path).json(&json!({})).send().await;
    answer.error(404, "M_NOT_FOUND");
    let path = format!("/_matrix/client/v3/join/{}", encode("!there:127.0.0.1:9"));
    let answer = two.bob.post(&path).json(&json!({})).send().await;
    answer.error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn the_invited_see_the_invite_and_accept() {
    let two = Two::new().await;
    for version in VERSIONS {
        let id = two.alice.create_room(room(version, "private_chat")).await;
        let since = two.bob.sync(None).await;
        two.alice.invite(&id, &two.bob.id).await;
        let sync = two.bob.sync(since["next_batch"].as_str()).await;
        let events = &sync["rooms"]["invite"][&id]["invite_state"]["events"];
        let events = events.as_array().unwrap();
        let find = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
        assert_eq!(find("m.room.name")["content"]["name"], "the room");
        assert!(find("m.room.create")["event_id"].is_null());
        let invite = events
            .iter()
            .find(|event| event["state_key"] == two.bob.id)
            .unwrap();
        assert_eq!(invite["content"]["membership"], "invite");
        // The invite tells whom to ask.
        two.bob.join(&id).await;
        assert_eq!(state(&two.alice, &id).await, state(&two.bob, &id).await);
        let sync = two.bob.sync(None).await;
        assert!(sync["rooms"]["invite"][&id].is_null());
        assert!(sync["rooms"]["join"][&id].is_object());
    }
}

#[tokio::test]
async fn an_invite_comes_with_a_new_room() {
    let two = Two::new().await;
    let mut body = room("12", "trusted_private_chat");
    body["invite"] = json!([two.bob.id, format!("@x:127.0.0.1:9")]);
    body["is_direct"] = json!(true);
    let id = two.alice.create_room(body).await;
    let sync = two.bob.sync(None).await;
    let events = &sync["rooms"]["invite"][&id]["invite_state"]["events"];
    let invite = events.as_array().unwrap().last().unwrap();
    assert_eq!(invite["content"]["is_direct"], true);
    two.bob.join(&id).await;
}

#[tokio::test]
async fn an_invite_is_rejected_also_when_nobody_is_there_to_tell() {
    let two = Two::new().await;
    let id = two.alice.create_room(room("11", "private_chat")).await;
    let another = two.alice.create_room(room("12", "private_chat")).await;
    for id in [&id, &another] {
        two.alice.invite(id, &two.bob.id).await;
    }
    let since = two.bob.sync(None).await;
    two.leave(&two.bob, &id).await.ok();
    assert_eq!(
        member(&two.alice, &id, &two.bob.id).await["membership"],
        "leave"
    );
    two.leave(&two.bob, &id).await.ok();
    let Two {
        here,
        there: _there,
        bob,
        ..
    } = two;
    drop(here);
    let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(&another));
    bob.post(&path).json(&json!({})).send().await.ok();
    let sync = bob.sync(since["next_batch"].as_str()).await;
    for id in [&id, &another] {
        assert!(sync["rooms"]["leave"][id].is_object(), "{sync}");
        assert!(sync["rooms"]["invite"][id].is_null(), "{sync}");
    }
}

#[tokio::test]
async fn who_cannot_be_invited_is_not() {
    let two = Two::new().await;
    let id = two.alice.create_room(room("11", "private_chat")).await;
    let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&id));
    let invite = async |user: &str| {
        let body = json!({ "user_id": user });
        two.alice.post(&path).json(&body).send().await
    };
    let nobody = format!("@nobody:{}", two.there.name);
    invite(&nobody).await.error(404, "M_NOT_FOUND");
    invite("@away:127.0.0.1:9").await.error(502, "M_UNKNOWN");
    let blocks = format!(
        "/_matrix/client/v3/user/{}/account_data/m.invite_permission_config",
        encode(&two.bob.id)
    );
    let blocks = two
        .bob
        .put(&blocks)
        .json(&json!({ "default_action": "block" }));
    blocks.send().await.ok();
    invite(&two.bob.id).await.error(403, "M_INVITE_BLOCKED");
    let members = format!("/_matrix/client/v3/rooms/{}/members", encode(&id));
    let members = two.alice.get(&members).send().await.ok();
    assert_eq!(members["chunk"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_restricted_room_lets_members_of_another_in() {
    let two = Two::new().await;
    for version in ["10", "12"] {
        let outer = two.alice.create_room(room(version, "public_chat")).await;
        let mut body = room(version, "private_chat");
        body["initial_state"] = json!([{
            "type": "m.room.join_rules",
            "state_key": "",
            "content": {
                "join_rule": "restricted",
                "allow": [{ "type": "m.room_membership", "room_id": outer }],
            },
        }]);
        body["power_level_content_override"] = json!({ "invite": 50 });
        let id = two.alice.create_room(body).await;
        two.bob_does("join", &id).await.error(403, "M_FORBIDDEN");
        two.bob_does("join", &outer).await.ok();
        two.bob_does("join", &id).await.ok();
        let join = member(&two.bob, &id, &two.bob.id).await;
        assert_eq!(join["join_authorised_via_users_server"], two.alice.id);
        assert_eq!(state(&two.alice, &id).await, state(&two.bob, &id).await);
    }
}

#[tokio::test]
async fn an_emptied_room_is_joined_anew() {
    let two = Two::new().await;
    let id = two.alice.create_room(room("11", "public_chat")).await;
    two.bob_does("join", &id).await.ok();
    two.leave(&two.bob, &id).await.ok();
    let topic = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.topic/",
        encode(&id)
    );
    let topic = two.alice.put(&topic).json(&json!({ "topic": "new" }));
    topic.send().await.ok();
    let since = two.bob.sync(None).await;
    two.bob_does("join", &id).await.ok();
    let sync = two.bob.sync(since["next_batch"].as_str()).await;
    let events = sync["rooms"]["join"][&id]["state"]["events"].clone();
    let events = events.as_array().unwrap();
    assert!(events.iter().any(|event| event["type"] == "m.room.topic"));
    assert_eq!(state(&two.alice, &id).await, state(&two.bob, &id).await);
}

#[tokio::test]
async fn a_join_is_taken_up_again_after_a_restart() {
    let two = Two::new().await;
    let id = two.alice.create_room(room("12", "public_chat")).await;
    let pending = PendingJoin {
        user: OwnedUserId::try_from(two.bob.id.as_str()).unwrap(),
        room_id: OwnedRoomId::try_from(id.as_str()).unwrap(),
        servers: vec![two.here.name.clone()],
        content: r#"{"displayname":"Bob","membership":"join"}"#.to_owned(),
    };
    let app = &two.there.server.app;
    let mut plan = Plan::new();
    plan.put(&pending);
    app.store.commit(plan).await.unwrap();
    app.rooms.resume_joins().await.unwrap();
    let since = two.bob.sync(None).await;
    let since = since["next_batch"].as_str().unwrap().to_owned();
    let wait = two
        .bob
        .get("/_matrix/client/v3/sync")
        .query("timeout", "20000");
    wait.query("since", &since).send().await.ok();
    let join = member(&two.bob, &id, &two.bob.id).await;
    assert_eq!(join["displayname"], "Bob");
    let done = async {
        while !app
            .store
            .range::<PendingJoin>(KeyRange::all())
            .await
            .unwrap()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_knock_is_taken_back_where_it_was_heard() {
    let two = Two::new().await;
    for version in ["11", "12"] {
        let mut body = room(version, "private_chat");
        let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
        body["initial_state"] = json!([rule]);
        let id = two.alice.create_room(body).await;
        two.bob_does("knock", &id).await.ok();
        let now = member(&two.alice, &id, &two.bob.id).await;
        assert_eq!(now["membership"], "knock", "{version}");
        two.leave(&two.bob, &id).await.ok();
        let now = member(&two.alice, &id, &two.bob.id).await;
        assert_eq!(now["membership"], "leave", "{version}");
    }
}

#[tokio::test]
async fn a_server_that_invites_too_much_waits() {
    let (here, there) = tokio::join!(
        Peer::start(),
        Peer::start_at("localhost", |builder| {
            let builder = builder.set("rate_limit.enabled", "true");
            builder.set("rate_limit.invite_from_server", "2 per 1h")
        })
    );
    let alice = here.server.register("alice").await;
    let bob = there.server.register("bob").await;
    for nth in 0..3 {
        let id = alice.create_room(room("11", "private_chat")).await;
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&id));
        let invite = alice.post(&path).json(&json!({ "user_id": bob.id }));
        let answer = invite.send().await;
        if nth < 2 {
            answer.ok();
        } else {
            answer.error(429, "M_LIMIT_EXCEEDED");
        }
    }
    // Other servers are none the worse for it.
    let other = Peer::start().await;
    let carol = other.server.register("carol").await;
    let id = carol.create_room(room("11", "private_chat")).await;
    carol.invite(&id, &bob.id).await;
}
