//! `GET` and `POST /publicRooms`

use serde_json::{Value, json};

use crate::support::{TestServer, TestUser};

const PATH: &str = "/_matrix/client/v3/publicRooms";

async fn publish(user: &TestUser, mut room: Value) -> String {
    room["visibility"] = "public".into();
    if room.get("preset").is_none() {
        room["preset"] = "public_chat".into();
    }
    user.create_room(room).await
}

fn ids(page: &Value) -> Vec<&str> {
    let chunk = page["chunk"].as_array().unwrap();
    chunk
        .iter()
        .map(|room| room["room_id"].as_str().unwrap())
        .collect()
}

async fn search(user: &TestUser, body: Value) -> Value {
    user.post(PATH).json(&body).send().await.ok()
}

#[tokio::test]
async fn lists_published_rooms_the_largest_first() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let small = publish(&alice, json!({})).await;
    let large = publish(
        &alice,
        json!({
            "name": "Large",
            "topic": "About size",
            "room_alias_name": "large",
            "creation_content": { "type": "m.space" },
        }),
    )
    .await;
    bob.join(&large).await;
    alice.create_room(json!({ "preset": "public_chat" })).await;

    let page = server.get(PATH).send().await.ok();
    assert_eq!(ids(&page), [&*large, &small]);
    assert_eq!(page["total_room_count_estimate"], 2);
    assert_eq!(page.get("next_batch"), None);
    let listed = &page["chunk"][0];
    assert_eq!(listed["name"], "Large");
    assert_eq!(listed["topic"], "About size");
    assert_eq!(listed["canonical_alias"], "#large:test.example");
    assert_eq!(listed["num_joined_members"], 2);
    assert_eq!(listed["room_type"], "m.space");
    assert_eq!(listed["world_readable"], false);
}

#[tokio::test]
async fn a_listing_follows_the_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = publish(&alice, json!({ "name": "old" })).await;
    assert_eq!(
        server.get(PATH).send().await.ok()["chunk"][0]["name"],
        "old"
    );
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.name",
        crate::support::encode(&room)
    );
    alice
        .put(&path)
        .json(&json!({ "name": "new" }))
        .send()
        .await
        .ok();
    bob.join(&room).await;
    let page = server.get(PATH).send().await.ok();
    assert_eq!(page["chunk"][0]["name"], "new");
    assert_eq!(page["chunk"][0]["num_joined_members"], 2);
}

#[tokio::test]
async fn rooms_that_nobody_could_enter_or_read_are_not_listed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    publish(&alice, json!({ "preset": "private_chat" })).await;
    let empty = publish(&alice, json!({})).await;
    let path = format!(
        "/_matrix/client/v3/rooms/{}/leave",
        crate::support::encode(&empty)
    );
    alice.post(&path).json(&json!({})).send().await.ok();
    assert_eq!(server.get(PATH).send().await.ok()["chunk"], json!([]));
}

#[tokio::test]
async fn pages_through_the_list_both_ways() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for _ in 0..5 {
        publish(&alice, json!({})).await;
    }
    let whole = server.get(PATH).send().await.ok();
    let mut seen = Vec::new();
    let first = server.get(PATH).query("limit", "2").send().await.ok();
    assert_eq!(first.get("prev_batch"), None);
    let mut page = first.clone();
    loop {
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_batch"].as_str() else {
            break;
        };
        let next = next.to_owned();
        page = server
            .get(PATH)
            .query("limit", "2")
            .query("since", next)
            .send()
            .await
            .ok();
    }
    assert_eq!(seen, ids(&whole));
    assert_eq!(ids(&page).len(), 1);
    let back = page["prev_batch"].as_str().unwrap();
    let back = server
        .get(PATH)
        .query("limit", "2")
        .query("since", back)
        .send()
        .await
        .ok();
    assert_eq!(ids(&back), ids(&whole)[2..4]);
    let garbage = server.get(PATH).query("since", "garbage").send().await;
    garbage.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn searches_name_topic_and_alias_and_filters_by_type() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let name = publish(&alice, json!({ "name": "Cats and DOGS" })).await;
    let topic = publish(&alice, json!({ "topic": "all about cats" })).await;
    let alias = publish(&alice, json!({ "room_alias_name": "cats" })).await;
    let space = json!({ "name": "Zoo", "creation_content": { "type": "m.space" } });
    let space = publish(&alice, space).await;

    let term = |term: &str| json!({ "filter": { "generic_search_term": term } });
    let mut found = search(&alice, term("CATS")).await;
    assert_eq!(found["total_room_count_estimate"], 4);
    let mut cats = [&*name, &topic, &alias];
    cats.sort_unstable();
    found["chunk"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(|room| room["room_id"].to_string());
    assert_eq!(ids(&found), cats);
    assert_eq!(ids(&search(&alice, term("dogs")).await), [&*name]);
    assert_eq!(
        ids(&search(&alice, term("50% _ ' OR true --")).await),
        [""; 0]
    );
    assert_eq!(ids(&search(&alice, term("")).await).len(), 4);

    let types = |types: Value| json!({ "filter": { "room_types": types } });
    assert_eq!(
        ids(&search(&alice, types(json!(["m.space"]))).await),
        [&*space]
    );
    assert_eq!(ids(&search(&alice, types(json!([null]))).await).len(), 3);
    assert_eq!(
        ids(&search(&alice, types(json!([null, "m.space"]))).await).len(),
        4
    );
    let long = term(&"a".repeat(10 << 10));
    alice
        .post(PATH)
        .json(&long)
        .send()
        .await
        .error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn needs_an_account_to_search_and_other_servers_for_their_rooms() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    publish(&alice, json!({})).await;
    let own = server
        .get(PATH)
        .query("server", "test.example")
        .send()
        .await
        .ok();
    assert_eq!(ids(&own).len(), 1);
    let other = server
        .get(PATH)
        .query("server", "elsewhere.example")
        .send()
        .await;
    other.error(502, "M_UNKNOWN");
    let path = format!("{PATH}?server=elsewhere.example");
    alice
        .post(&path)
        .json(&json!({}))
        .send()
        .await
        .error(502, "M_UNKNOWN");
    server
        .post(PATH)
        .json(&json!({}))
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
    let network = json!({ "third_party_instance_id": "irc" });
    assert_eq!(search(&alice, network).await["chunk"], json!([]));
    let all = json!({ "include_all_networks": true });
    assert_eq!(ids(&search(&alice, all).await).len(), 1);
    let malformed = alice.post(PATH).json(&json!({ "limit": "x" })).send().await;
    malformed.error(400, "M_BAD_JSON");
}
