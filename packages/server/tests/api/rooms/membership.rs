//! Invite, join, knock, leave, forget, kick, ban, unban.

mod join_rules;

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser, encode};

async fn act(user: &TestUser, room: &str, what: &str, target: Option<&TestUser>) -> Answer {
    let path = format!("/_matrix/client/v3/rooms/{}/{what}", encode(room));
    let body = match target {
        Some(target) => json!({ "user_id": target.id, "reason": "because" }),
        None => json!({}),
    };
    user.post(&path).json(&body).send().await
}

async fn membership(asker: &TestUser, room: &str, of: &TestUser) -> Value {
    let (room, user) = (encode(room), encode(&of.id));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{user}");
    asker.get(&path).send().await.ok()["membership"].clone()
}

async fn set_state(user: &TestUser, room: &str, kind: &str, content: Value) -> Answer {
    let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/", encode(room));
    user.put(&path).json(&content).send().await
}

struct People {
    server: TestServer,
    alice: TestUser,
    bob: TestUser,
    carol: TestUser,
}

async fn people() -> People {
    let server = TestServer::start().await;
    People {
        alice: server.register("alice").await,
        bob: server.register("bob").await,
        carol: server.register("carol").await,
        server,
    }
}

#[tokio::test]
async fn a_public_room_lets_everybody_in_and_joining_twice_is_fine() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    for _ in 0..2 {
        assert_eq!(act(&bob, &room, "join", None).await.ok()["room_id"], room);
    }
    assert_eq!(membership(&alice, &room, &bob).await, "join");
}

#[tokio::test]
async fn an_alias_leads_to_the_room() {
    let People { alice, bob, .. } = people().await;
    let body = json!({ "preset": "public_chat", "room_alias_name": "lobby" });
    let room = alice.create_room(body).await;
    let join = async |alias: &str| {
        let path = format!("/_matrix/client/v3/join/{}", encode(alias));
        bob.post(&path).json(&json!({})).send().await
    };
    assert_eq!(join("#lobby:test.example").await.ok()["room_id"], room);
    join("#nowhere:test.example")
        .await
        .error(404, "M_NOT_FOUND");
    join("!nowhere:test.example")
        .await
        .error(404, "M_NOT_FOUND");
    join("nonsense").await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_private_room_wants_an_invite() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({})).await;
    act(&bob, &room, "join", None)
        .await
        .error(403, "M_FORBIDDEN");
    act(&carol, &room, "invite", Some(&bob))
        .await
        .error(403, "M_FORBIDDEN");
    act(&alice, &room, "invite", Some(&bob)).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "invite");
    let invite = &bob.sync(None).await["rooms"]["invite"][&room]["invite_state"]["events"];
    let kinds: Vec<_> = invite
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["type"])
        .collect();
    assert!(kinds.contains(&&json!("m.room.create")), "{kinds:?}");
    assert!(kinds.contains(&&json!("m.room.join_rules")), "{kinds:?}");
    act(&bob, &room, "join", None).await.ok();
    act(&alice, &room, "invite", Some(&bob))
        .await
        .error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn an_invite_is_rejected_or_taken_back() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({ "invite": [bob.id] })).await;
    act(&bob, &room, "leave", None).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "leave");
    act(&bob, &room, "join", None)
        .await
        .error(403, "M_FORBIDDEN");
    act(&alice, &room, "invite", Some(&bob)).await.ok();
    act(&alice, &room, "kick", Some(&bob)).await.ok();
    act(&bob, &room, "join", None)
        .await
        .error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_left_may_leave_again_and_who_never_came_may_not() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    for _ in 0..2 {
        act(&bob, &room, "leave", None).await.ok();
    }
    act(&carol, &room, "leave", None)
        .await
        .error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    assert_eq!(membership(&alice, &room, &bob).await, "join");
}

#[tokio::test]
async fn the_powerful_kick_ban_and_unban() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    carol.join(&room).await;
    for what in ["kick", "ban"] {
        act(&carol, &room, what, Some(&bob))
            .await
            .error(403, "M_FORBIDDEN");
        act(&carol, &room, what, Some(&alice))
            .await
            .error(403, "M_FORBIDDEN");
    }
    act(&alice, &room, "kick", Some(&bob)).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "leave");
    act(&alice, &room, "kick", Some(&bob))
        .await
        .error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    act(&alice, &room, "ban", Some(&bob)).await.ok();
    act(&bob, &room, "join", None)
        .await
        .error(403, "M_FORBIDDEN");
    act(&alice, &room, "invite", Some(&bob))
        .await
        .error(403, "M_FORBIDDEN");
    act(&bob, &room, "leave", None)
        .await
        .error(403, "M_FORBIDDEN");
    act(&alice, &room, "unban", Some(&carol))
        .await
        .error(403, "M_FORBIDDEN");
    act(&alice, &room, "unban", Some(&bob)).await.ok();
    act(&bob, &room, "join", None).await.ok();
}

#[tokio::test]
async fn a_forgotten_room_is_gone_until_joined_again() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    act(&bob, &room, "forget", None)
        .await
        .error(400, "M_UNKNOWN");
    act(&bob, &room, "leave", None).await.ok();
    for _ in 0..2 {
        act(&bob, &room, "forget", None).await.ok();
    }
    let filter = json!({ "room": { "include_leave": true } }).to_string();
    let sync = bob
        .get("/_matrix/client/v3/sync")
        .query("filter", &filter)
        .send()
        .await
        .ok();
    assert!(sync["rooms"]["leave"].get(&room).is_none(), "{sync}");
    let messages = format!("/_matrix/client/v3/rooms/{}/messages?dir=b", encode(&room));
    bob.get(&messages).send().await.error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    assert!(bob.sync(None).await["rooms"]["join"].get(&room).is_some());
}

#[tokio::test]
async fn a_membership_put_as_state_obeys_the_same_rules() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let put = async |user: &TestUser, target: &TestUser, membership: &str| {
        let (room, target) = (encode(&room), encode(&target.id));
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{target}");
        user.put(&path)
            .json(&json!({ "membership": membership }))
            .send()
            .await
    };
    put(&bob, &carol, "join").await.error(403, "M_FORBIDDEN");
    put(&bob, &bob, "join").await.ok();
    put(&alice, &carol, "invite").await.ok();
    put(&bob, &carol, "ban").await.error(403, "M_FORBIDDEN");
    put(&alice, &bob, "ban").await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "ban");
    put(&bob, &bob, "join").await.error(403, "M_FORBIDDEN");
    put(&alice, &alice, "asleep")
        .await
        .error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn unknown_and_deactivated_users_are_not_invited() {
    let People {
        server, alice, bob, ..
    } = people().await;
    let room = alice.create_room(json!({})).await;
    let invite = async |user_id: &str| {
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room));
        alice
            .post(&path)
            .json(&json!({ "user_id": user_id }))
            .send()
            .await
    };
    invite("@nobody:test.example")
        .await
        .error(404, "M_NOT_FOUND");
    invite("nonsense").await.error(400, "M_BAD_JSON");
    let auth = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "bob" },
        "password": TestUser::PASSWORD,
    });
    let deactivate = "/_matrix/client/v3/account/deactivate";
    bob.post(deactivate)
        .json(&json!({ "auth": auth }))
        .send()
        .await
        .ok();
    invite(&bob.id).await.error(403, "M_FORBIDDEN");
    drop(server);
}

#[tokio::test]
async fn a_new_display_name_reaches_every_room() {
    let People { alice, bob, .. } = people().await;
    let rooms = [
        alice.create_room(json!({ "preset": "public_chat" })).await,
        alice.create_room(json!({ "preset": "public_chat" })).await,
    ];
    for room in &rooms {
        bob.join(room).await;
    }
    let since = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/_matrix/client/v3/profile/{}/displayname", encode(&bob.id));
    bob.put(&path)
        .json(&json!({ "displayname": "Robert" }))
        .send()
        .await
        .ok();
    let mut waiting: Vec<&String> = rooms.iter().collect();
    let mut since = since;
    while !waiting.is_empty() {
        let sync = alice
            .get("/_matrix/client/v3/sync")
            .query("since", &since)
            .query("timeout", "10000")
            .send()
            .await
            .ok();
        since = sync["next_batch"].as_str().unwrap().to_owned();
        assert_ne!(
            sync["rooms"],
            Value::Null,
            "the name never came to {waiting:?}"
        );
        waiting.retain(|room| {
            let events = sync["rooms"]["join"][room.as_str()]["timeline"]["events"].to_string();
            !events.contains("Robert")
        });
    }
}

#[tokio::test]
async fn saying_what_somebody_else_said_takes_their_power() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    carol.join(&room).await;
    act(&alice, &room, "ban", Some(&carol)).await.ok();
    act(&bob, &room, "ban", Some(&carol))
        .await
        .error(403, "M_FORBIDDEN");
    let path = |user: &TestUser| {
        let (room, user) = (encode(&room), encode(&user.id));
        format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{user}")
    };
    let content = alice.get(&path(&bob)).send().await.ok();
    let repeat = carol.put(&path(&bob)).json(&content).send().await;
    repeat.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_events_of_a_forgotten_room_are_gone() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let event = alice.say(&room, "hello").await;
    act(&bob, &room, "leave", None).await.ok();
    let path = |what: &str| {
        let (room, event) = (encode(&room), encode(&event));
        format!("/_matrix/client/v3/rooms/{room}/{what}/{event}")
    };
    bob.get(&path("event")).send().await.ok();
    act(&bob, &room, "forget", None).await.ok();
    let answer = bob.get(&path("event")).send().await;
    answer.error(404, "M_NOT_FOUND");
    let answer = bob.get(&path("context")).send().await;
    answer.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn forgetting_a_room_while_joining_it_does_not_lose_the_join() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    for _ in 0..20 {
        bob.join(&room).await;
        act(&bob, &room, "leave", None).await.ok();
        let (joined, _) = tokio::join!(
            act(&bob, &room, "join", None),
            act(&bob, &room, "forget", None)
        );
        joined.ok();
        let rooms = bob.get("/_matrix/client/v3/joined_rooms").send().await;
        assert_eq!(rooms.ok()["joined_rooms"], json!([room]));
    }
}

#[tokio::test]
async fn who_wants_no_invites_gets_none() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({})).await;
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/m.invite_permission_config",
        encode(&bob.id)
    );
    let config = json!({ "default_action": "block" });
    bob.put(&path).json(&config).send().await.ok();
    let blocked = act(&alice, &room, "invite", Some(&bob)).await;
    blocked.error(403, "M_INVITE_BLOCKED");
    let member = format!("m.room.member/{}", encode(&bob.id));
    let member = format!("/_matrix/client/v3/rooms/{}/state/{member}", encode(&room));
    let put = alice.put(&member).json(&json!({ "membership": "invite" }));
    put.send().await.error(403, "M_INVITE_BLOCKED");
    let create = alice.post("/_matrix/client/v3/createRoom");
    let create = create.json(&json!({ "invite": [bob.id] })).send().await;
    create.error(403, "M_INVITE_BLOCKED");
    assert!(bob.sync(None).await.get("rooms").is_none());
    for config in [
        json!({ "default_action": "org.example.unknown" }),
        json!({}),
    ] {
        bob.put(&path).json(&config).send().await.ok();
        act(&alice, &room, "invite", Some(&bob)).await.ok();
    }
    assert!(bob.sync(None).await["rooms"]["invite"][&room].is_object());
}
