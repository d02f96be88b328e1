//! Who may join, and who may knock.

use serde_json::json;

use super::{People, act, membership, people, set_state};
use crate::support::{TestServer, TestUser, encode};

#[tokio::test]
async fn a_knock_waits_for_an_invite() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({})).await;
    let knock = async |user: &TestUser| {
        let path = format!("/_matrix/client/v3/knock/{}", encode(&room));
        user.post(&path)
            .json(&json!({ "reason": "please" }))
            .send()
            .await
    };
    knock(&bob).await.error(403, "M_FORBIDDEN");
    set_state(
        &alice,
        &room,
        "m.room.join_rules",
        json!({ "join_rule": "knock" }),
    )
    .await
    .ok();
    knock(&bob).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "knock");
    assert!(bob.sync(None).await["rooms"]["knock"][&room].is_object());
    act(&bob, &room, "join", None)
        .await
        .error(403, "M_FORBIDDEN");
    act(&alice, &room, "invite", Some(&bob)).await.ok();
    act(&bob, &room, "join", None).await.ok();
    knock(&bob).await.error(403, "M_FORBIDDEN");
    knock(&carol).await.ok();
    act(&carol, &room, "leave", None).await.ok();
    act(&alice, &room, "ban", Some(&carol)).await.ok();
    knock(&carol).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_restricted_room_lets_members_of_another_in() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    for version in ["8", "10", "11", "12"] {
        let space = alice.create_room(json!({ "preset": "public_chat" })).await;
        let room = alice
            .create_room(json!({
                "room_version": version,
                "power_level_content_override": { "invite": 50 },
            }))
            .await;
        let rule = json!({
            "join_rule": "restricted",
            "allow": [{ "type": "m.room_membership", "room_id": space }],
        });
        set_state(&alice, &room, "m.room.join_rules", rule)
            .await
            .ok();
        act(&bob, &room, "join", None)
            .await
            .error(403, "M_FORBIDDEN");
        bob.join(&space).await;
        act(&bob, &room, "join", None).await.ok();
        // Once in, a change of name needs nobody's permission.
        let path = format!("/_matrix/client/v3/profile/{}/displayname", encode(&bob.id));
        bob.put(&path)
            .json(&json!({ "displayname": version }))
            .send()
            .await
            .ok();
        act(&alice, &room, "invite", Some(&carol)).await.ok();
        act(&carol, &room, "join", None).await.ok();
        act(&carol, &room, "leave", None).await.ok();
        // Nobody with the power to invite is left.
        act(&alice, &room, "leave", None).await.ok();
        carol.join(&space).await;
        act(&carol, &room, "join", None)
            .await
            .error(400, "M_UNABLE_TO_GRANT_JOIN");
    }
}

#[tokio::test]
async fn who_left_learns_nothing_by_knocking_and_leaving_again() {
    let People { alice, bob, .. } = people().await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    act(&bob, &room, "leave", None).await.ok();
    let sync = bob.sync(None).await;
    let since = sync["next_batch"].as_str().unwrap();
    let rule = json!({ "join_rule": "knock" });
    let answer = set_state(&alice, &room, "m.room.join_rules", rule).await;
    answer.ok();
    let answer = set_state(&alice, &room, "org.example.secret", json!({ "plan": 1 })).await;
    answer.ok();
    let path = format!("/_matrix/client/v3/knock/{}", encode(&room));
    bob.post(&path).json(&json!({})).send().await.ok();
    act(&bob, &room, "leave", None).await.ok();
    let filter = json!({ "room": { "include_leave": true } }).to_string();
    let fresh = bob.get("/_matrix/client/v3/sync").query("filter", filter);
    for sync in [bob.sync(Some(since)).await, fresh.send().await.ok()] {
        let left = &sync["rooms"]["leave"][&room];
        assert!(left.is_object(), "{sync}");
        assert!(!left.to_string().contains("org.example.secret"), "{left}");
    }
}

#[tokio::test]
async fn guests_join_where_the_room_lets_them() {
    let builder = TestServer::configure();
    let server = builder.set("guests.enabled", "true").start().await;
    let alice = server.register("alice").await;
    let guest = server.post("/_matrix/client/v3/register?kind=guest");
    let guest = guest.json(&json!({})).send().await.ok();
    let guest = TestUser::new(server.router.clone(), &guest);
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    act(&guest, &room, "join", None)
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.member/{}",
        encode(&room),
        encode(&guest.id)
    );
    let body = json!({ "membership": "join" });
    let put = guest.put(&path).json(&body).send().await;
    put.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let access = json!({ "guest_access": "can_join" });
    let answer = set_state(&alice, &room, "m.room.guest_access", access).await;
    answer.ok();
    act(&guest, &room, "join", None).await.ok();
}

#[tokio::test]
async fn room_versions_before_them_know_no_knocks_and_no_restricted_joins() {
    let People { alice, bob, .. } = people().await;
    for (version, join_rule) in [
        ("6", "knock"),
        ("7", "restricted"),
        ("9", "knock_restricted"),
    ] {
        let lobby = alice.create_room(json!({ "preset": "public_chat" })).await;
        bob.join(&lobby).await;
        let room = alice.create_room(json!({ "room_version": version })).await;
        let rule = json!({
            "join_rule": join_rule,
            "allow": [{ "type": "m.room_membership", "room_id": lobby }],
        });
        set_state(&alice, &room, "m.room.join_rules", rule)
            .await
            .ok();
        let knock = format!("/_matrix/client/v3/knock/{}", encode(&room));
        let answer = bob.post(&knock).json(&json!({})).send().await;
        answer.error(403, "M_FORBIDDEN");
        let answer = act(&bob, &room, "join", None).await;
        answer.error(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn where_both_are_allowed_members_of_another_room_join_and_others_knock() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    for version in ["10", "11", "12"] {
        let lobby = alice.create_room(json!({ "preset": "public_chat" })).await;
        bob.join(&lobby).await;
        let room = alice.create_room(json!({ "room_version": version })).await;
        let rule = json!({
            "join_rule": "knock_restricted",
            "allow": [{ "type": "m.room_membership", "room_id": lobby }],
        });
        set_state(&alice, &room, "m.room.join_rules", rule)
            .await
            .ok();
        act(&bob, &room, "join", None).await.ok();
        act(&carol, &room, "join", None)
            .await
            .error(403, "M_FORBIDDEN");
        let knock = format!("/_matrix/client/v3/knock/{}", encode(&room));
        carol.post(&knock).json(&json!({})).send().await.ok();
        assert_eq!(membership(&alice, &room, &carol).await, "knock");
    }
}

#[tokio::test]
async fn nobody_knocks_for_somebody_else() {
    let People {
        alice, bob, carol, ..
    } = people().await;
    let room = alice.create_room(json!({})).await;
    let rule = json!({ "join_rule": "knock" });
    set_state(&alice, &room, "m.room.join_rules", rule)
        .await
        .ok();
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.member/{}",
        encode(&room),
        encode(&carol.id)
    );
    let body = json!({ "membership": "knock" });
    for user in [&alice, &bob] {
        let answer = user.put(&path).json(&body).send().await;
        answer.error(403, "M_FORBIDDEN");
    }
}
