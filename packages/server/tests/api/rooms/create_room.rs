//! `POST /createRoom`

use serde_json::{Value, json};

use crate::support::{TestServer, TestUser, encode};

async fn state(user: &TestUser, room: &str, kind: &str) -> Value {
    let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/", encode(room));
    user.get(&path).send().await.ok()
}

async fn create(user: &TestUser, body: Value) -> crate::support::Answer {
    user.post("/_matrix/client/v3/createRoom")
        .json(&body)
        .send()
        .await
}

#[tokio::test]
async fn presets_set_join_rules_and_guest_access() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for (preset, join_rule, guest_access) in [
        ("public_chat", "public", "forbidden"),
        ("private_chat", "invite", "can_join"),
        ("trusted_private_chat", "invite", "can_join"),
    ] {
        let room = alice.create_room(json!({ "preset": preset })).await;
        assert_eq!(
            state(&alice, &room, "m.room.join_rules").await["join_rule"],
            join_rule
        );
        let guests = state(&alice, &room, "m.room.guest_access").await;
        assert_eq!(guests["guest_access"], guest_access);
        let visibility = state(&alice, &room, "m.room.history_visibility").await;
        assert_eq!(visibility["history_visibility"], "shared");
    }
}

#[tokio::test]
async fn visibility_chooses_the_preset_when_none_is_given() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let public = alice.create_room(json!({ "visibility": "public" })).await;
    assert_eq!(
        state(&alice, &public, "m.room.join_rules").await["join_rule"],
        "public"
    );
    let private = alice.create_room(json!({})).await;
    assert_eq!(
        state(&alice, &private, "m.room.join_rules").await["join_rule"],
        "invite"
    );
}

#[tokio::test]
async fn every_supported_version_makes_a_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for version in 6..=12 {
        let body = json!({
            "room_version": version.to_string(),
            "preset": "trusted_private_chat",
            "invite": [bob.id],
            "name": "Room",
            "topic": "Everything",
        });
        let room = alice.create_room(body).await;
        assert_eq!(room.contains(':'), version < 12, "{room}");
        let create = state(&alice, &room, "m.room.create").await;
        assert_eq!(create["room_version"], version.to_string());
        assert_eq!(create["creator"].is_string(), version < 11);
        let levels = state(&alice, &room, "m.room.power_levels").await;
        if version < 12 {
            assert_eq!(levels["users"][&alice.id], 100);
            assert_eq!(levels["users"][&bob.id], 100);
        } else {
            assert_eq!(levels["users"], json!({}));
            assert_eq!(levels["events"]["m.room.tombstone"], 150);
            assert_eq!(create["additional_creators"], json!([bob.id]));
        }
        assert_eq!(
            state(&alice, &room, "m.room.topic").await["topic"],
            "Everything"
        );
        bob.join(&room).await;
        alice.say(&room, "works").await;
    }
}

#[tokio::test]
async fn given_state_takes_the_place_of_the_preset() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice
        .create_room(json!({
            "preset": "private_chat",
            "name": "wins",
            "creation_content": { "m.federate": false, "type": "m.space", "creator": "@x:y" },
            "power_level_content_override": { "events_default": 7 },
            "initial_state": [
                { "type": "m.room.history_visibility", "state_key": "",
                  "content": { "history_visibility": "joined" } },
                { "type": "m.room.name", "content": { "name": "loses" } },
                { "type": "org.example.thing", "state_key": "a", "content": { "n": 1 } },
            ],
        }))
        .await;
    let visibility = state(&alice, &room, "m.room.history_visibility").await;
    assert_eq!(visibility["history_visibility"], "joined");
    assert_eq!(state(&alice, &room, "m.room.name").await["name"], "wins");
    let create = state(&alice, &room, "m.room.create").await;
    assert_eq!(create["m.federate"], false);
    assert_eq!(create["type"], "m.space");
    assert!(create.get("creator").is_none());
    let levels = state(&alice, &room, "m.room.power_levels").await;
    assert_eq!(levels["events_default"], 7);
    assert_eq!(levels["ban"], 50);
}

#[tokio::test]
async fn an_alias_is_made_with_the_room_and_only_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice
        .create_room(json!({ "room_alias_name": "lobby" }))
        .await;
    assert_eq!(
        state(&alice, &room, "m.room.canonical_alias").await["alias"],
        "#lobby:test.example"
    );
    let bob = server.register("bob").await;
    let again = create(&bob, json!({ "room_alias_name": "lobby" })).await;
    again.error(400, "M_ROOM_IN_USE");
    create(&bob, json!({ "room_alias_name": "a:b" }))
        .await
        .error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn refuses_what_no_room_can_be() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    create(&alice, json!({ "room_version": "1" }))
        .await
        .error(400, "M_UNSUPPORTED_ROOM_VERSION");
    create(&alice, json!({ "room_version": "nope" }))
        .await
        .error(400, "M_UNSUPPORTED_ROOM_VERSION");
    create(&alice, json!({ "invite": ["@nobody:test.example"] }))
        .await
        .error(404, "M_NOT_FOUND");
    create(&alice, json!({ "invite": "everybody" }))
        .await
        .error(400, "M_BAD_JSON");
    let level = json!({ "power_level_content_override": { "users_default": 1.5 } });
    create(&alice, level).await.error(400, "M_BAD_JSON");
    let creators = json!({
        "room_version": "12",
        "creation_content": { "additional_creators": ["no user"] },
    });
    assert_eq!(create(&alice, creators).await.status, 400);
    let demoted = json!({ "initial_state": [
        { "type": "m.room.member", "state_key": "@b:test.example",
          "content": { "membership": "join" } }] });
    create(&alice, demoted).await.error(400, "M_INVALID_PARAM");
    // Nothing of the failed rooms is left.
    assert_eq!(alice.sync(None).await["rooms"]["join"], Value::Null);
}

#[tokio::test]
async fn rooms_that_are_alike_and_made_at_the_same_time_are_two() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    server.clock.stop();
    let first = alice.create_room(json!({ "room_version": "12" })).await;
    let second = alice.create_room(json!({ "room_version": "12" })).await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn the_creators_of_a_new_room_cannot_be_outranked() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice
        .create_room(json!({
            "room_version": "12",
            "preset": "public_chat",
            "creation_content": { "additional_creators": [bob.id] },
        }))
        .await;
    bob.join(&room).await;
    carol.join(&room).await;
    let put = async |user: &TestUser, kind: &str, content: Value| {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/", encode(&room));
        user.put(&path).json(&content).send().await
    };
    let ban = async |user: &TestUser, target: &TestUser| {
        let path = format!("/_matrix/client/v3/rooms/{}/ban", encode(&room));
        let body = json!({ "user_id": target.id });
        user.post(&path).json(&body).send().await
    };
    let mut levels = state(&alice, &room, "m.room.power_levels").await;
    // No level is high enough to stand above a creator, and none can be given to one.
    levels["users"] = json!({ carol.id.as_str(): 9_007_199_254_740_991_i64 });
    put(&alice, "m.room.power_levels", levels.clone())
        .await
        .ok();
    ban(&carol, &bob).await.error(403, "M_FORBIDDEN");
    ban(&alice, &bob).await.error(403, "M_FORBIDDEN");
    let mut with_creator = levels.clone();
    with_creator["users"][&bob.id] = json!(100);
    put(&alice, "m.room.power_levels", with_creator)
        .await
        .error(403, "M_FORBIDDEN");
    // Whom the additional creator demotes, stays demoted.
    levels["users"] = json!({});
    put(&bob, "m.room.power_levels", levels).await.ok();
    put(&carol, "m.room.name", json!({ "name": "mine" }))
        .await
        .error(403, "M_FORBIDDEN");
    let tombstone = json!({ "body": "moved", "replacement_room": "!b:test.example" });
    put(&bob, "m.room.tombstone", tombstone).await.ok();
}

#[tokio::test]
async fn malformed_creators_make_no_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for creators in [
        json!("@bob:test.example"),
        json!([5]),
        json!(["bob"]),
        json!({}),
    ] {
        for preset in ["private_chat", "trusted_private_chat"] {
            let body = json!({
                "room_version": "12",
                "preset": preset,
                "creation_content": { "additional_creators": creators },
            });
            let answer = create(&alice, body).await;
            assert_eq!(answer.status, 400, "{creators}: {:?}", answer.bytes);
        }
    }
    // A creator has no power level of their own.
    let body = json!({
        "room_version": "12",
        "power_level_content_override": { "users": { alice.id.as_str(): 100 } },
    });
    create(&alice, body)
        .await
        .error(400, "M_INVALID_ROOM_STATE");
}

#[tokio::test]
async fn invites_say_whether_the_chat_is_direct() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice
        .create_room(json!({ "is_direct": true, "invite": [bob.id] }))
        .await;
    let sync = bob.sync(None).await;
    let events = &sync["rooms"]["invite"][&room]["invite_state"]["events"];
    let mut events = events.as_array().unwrap().iter();
    let own = events.find(|event| event["state_key"] == bob.id.as_str());
    assert_eq!(own.unwrap()["content"]["is_direct"], true);
    let address = json!({
        "id_server": "id.test.example",
        "id_access_token": "x",
        "medium": "email",
        "address": "bob@test.example",
    });
    create(&alice, json!({ "invite_3pid": [address] }))
        .await
        .error(400, "M_THREEPID_DENIED");
}

#[tokio::test]
async fn names_that_no_alias_can_have_make_no_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for name in ["", "a b", "a:b", "#a", "a\u{0}b", &"x".repeat(256)] {
        create(&alice, json!({ "room_alias_name": name }))
            .await
            .error(400, "M_INVALID_PARAM");
    }
    assert_eq!(alice.sync(None).await["rooms"]["join"], Value::Null);
}

#[tokio::test]
async fn the_operator_chooses_the_version_of_new_rooms() {
    let builder = TestServer::configure();
    let server = builder.set("default_room_version", "10").start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let create = state(&alice, &room, "m.room.create").await;
    assert_eq!(create["room_version"], "10");
    let path = "/_matrix/client/v3/capabilities";
    let capabilities = alice.get(path).send().await.ok();
    let versions = &capabilities["capabilities"]["m.room_versions"];
    assert_eq!(versions["default"], "10");
}
