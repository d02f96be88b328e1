//! `PUT`, `GET` and `DELETE /directory/room/{roomAlias}`

use serde_json::{Value, json};

use crate::support::{TestServer, TestUser, encode};

const BRIDGE: &str = r##"
id: bridge
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: bridge_bot
namespaces:
  users: [{ exclusive: true, regex: "@bridge_.*:test\\.example" }]
  aliases: [{ exclusive: true, regex: "#bridge_.*:test\\.example" }]
  rooms: []
"##;

fn path(alias: &str) -> String {
    format!("/_matrix/client/v3/directory/room/{}", encode(alias))
}

fn state(room: &str) -> String {
    format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.canonical_alias",
        encode(room)
    )
}

async fn make(user: &TestUser, alias: &str, room: &str) {
    let body = json!({ "room_id": room });
    user.put(&path(alias)).json(&body).send().await.ok();
}

#[tokio::test]
async fn an_alias_is_made_found_joined_by_and_deleted() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    make(&alice, "#here:test.example", &room).await;
    let found = server.get(&path("#here:test.example")).send().await.ok();
    assert_eq!(
        found,
        json!({ "room_id": room, "servers": ["test.example"] })
    );
    bob.join("#here:test.example").await;
    let answer = alice.delete(&path("#here:test.example")).send().await;
    assert_eq!(answer.ok(), json!({}));
    let gone = server.get(&path("#here:test.example")).send().await;
    gone.error(404, "M_NOT_FOUND");
    let gone = alice.delete(&path("#here:test.example")).send().await;
    gone.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn an_alias_leads_to_one_room_only() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    make(&alice, "#once:test.example", &room).await;
    let body = json!({ "room_id": room });
    let again = alice
        .put(&path("#once:test.example"))
        .json(&body)
        .send()
        .await;
    again.error(409, "M_UNKNOWN");
    let body = json!({ "room_alias_name": "once" });
    let again = alice
        .post("/_matrix/client/v3/createRoom")
        .json(&body)
        .send()
        .await;
    again.error(400, "M_ROOM_IN_USE");
}

#[tokio::test]
async fn two_who_make_the_same_alias_at_once_do_not_both_succeed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rooms = [
        alice.create_room(json!({})).await,
        alice.create_room(json!({})).await,
    ];
    let makes = rooms.iter().map(|room| {
        let body = json!({ "room_id": room });
        alice.put(&path("#race:test.example")).json(&body).send()
    });
    let answers = futures_util::future::join_all(makes).await;
    let mut statuses: Vec<u16> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn refuses_aliases_that_can_not_be() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    let body = json!({ "room_id": room });
    let foreign = alice
        .put(&path("#x:elsewhere.example"))
        .json(&body)
        .send()
        .await;
    foreign.error(400, "M_INVALID_PARAM");
    let spaced = alice
        .put(&path("#a b:test.example"))
        .json(&body)
        .send()
        .await;
    spaced.error(400, "M_INVALID_PARAM");
    let long = format!("#{}:test.example", "a".repeat(255));
    let long = alice.put(&path(&long)).json(&body).send().await;
    long.error(400, "M_INVALID_PARAM");
    let malformed = alice.put(&path("nonsense")).json(&body).send().await;
    malformed.error(400, "M_INVALID_PARAM");
    let outside = bob.put(&path("#x:test.example")).json(&body).send().await;
    outside.error(403, "M_FORBIDDEN");
    let nowhere = json!({ "room_id": "!nowhere:test.example" });
    let nowhere = alice
        .put(&path("#x:test.example"))
        .json(&nowhere)
        .send()
        .await;
    nowhere.error(403, "M_FORBIDDEN");
    let missing = alice
        .put(&path("#x:test.example"))
        .json(&json!({}))
        .send()
        .await;
    missing.error(400, "M_MISSING_PARAM");
    let anonymous = server
        .put(&path("#x:test.example"))
        .json(&body)
        .send()
        .await;
    anonymous.error(401, "M_MISSING_TOKEN");
    let remote = server.get(&path("#x:elsewhere.example")).send().await;
    remote.error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn any_text_is_a_name_and_nothing_else() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    for name in ["'; DELETE alias; --", "$x", "⟨a⟩", "[1,2]", "é", "e\u{301}"] {
        let alias = format!("#{}:test.example", name.replace(' ', "_"));
        make(&alice, &alias, &room).await;
        let found = server.get(&path(&alias)).send().await.ok();
        assert_eq!(found["room_id"], room, "{alias}");
    }
    let unknown = server.get(&path("#É:test.example")).send().await;
    unknown.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn an_alias_is_deleted_by_its_maker_and_by_those_with_the_power() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    carol.join(&room).await;
    make(&bob, "#bobs:test.example", &room).await;
    make(&bob, "#too:test.example", &room).await;
    let denied = carol.delete(&path("#bobs:test.example")).send().await;
    denied.error(403, "M_FORBIDDEN");
    bob.delete(&path("#bobs:test.example")).send().await.ok();
    alice.delete(&path("#too:test.example")).send().await.ok();
}

#[tokio::test]
async fn a_deleted_alias_leaves_the_rooms_state() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice
        .create_room(json!({ "room_alias_name": "main" }))
        .await;
    for alias in ["#alt:test.example", "#other:test.example"] {
        make(&alice, alias, &room).await;
    }
    let content = json!({
        "alias": "#main:test.example",
        "alt_aliases": ["#alt:test.example", "#other:test.example"],
    });
    alice.put(&state(&room)).json(&content).send().await.ok();
    alice.delete(&path("#alt:test.example")).send().await.ok();
    let now = alice.get(&state(&room)).send().await.ok();
    let left = json!({ "alias": "#main:test.example", "alt_aliases": ["#other:test.example"] });
    assert_eq!(now, left);
    alice.delete(&path("#main:test.example")).send().await.ok();
    let now: Value = alice.get(&state(&room)).send().await.ok();
    assert_eq!(now, json!({ "alt_aliases": ["#other:test.example"] }));
}

#[tokio::test]
async fn aliases_of_an_application_service_are_its_own() {
    let server = TestServer::configure()
        .appservice("bridge", BRIDGE)
        .start()
        .await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let body = json!({ "room_id": room });
    let alias = path("#bridge_x:test.example");
    let denied = alice.put(&alias).json(&body).send().await;
    denied.error(400, "M_EXCLUSIVE");
    let named = json!({ "room_alias_name": "bridge_y" });
    let create = "/_matrix/client/v3/createRoom";
    let denied = alice.post(create).json(&named).send().await;
    denied.error(400, "M_EXCLUSIVE");
    let join = format!("/_matrix/client/v3/join/{}", encode(&room));
    server
        .post(&join)
        .token("as-secret")
        .json(&json!({}))
        .send()
        .await
        .ok();
    server
        .put(&alias)
        .token("as-secret")
        .json(&body)
        .send()
        .await
        .ok();
    alice.delete(&alias).send().await.error(400, "M_EXCLUSIVE");
    server
        .request(http::Method::DELETE, &alias)
        .token("as-secret")
        .send()
        .await
        .ok();
}
