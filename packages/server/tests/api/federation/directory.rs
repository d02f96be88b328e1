//! The room directories and profiles of other servers.

use http::Method;
use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::{Answer, encode};

const PATH: &str = "/_matrix/client/v3/publicRooms";

async fn ask(of: &Peer, by: &Peer, method: Method, uri: &str, body: Option<Value>) -> Answer {
    let text = body.as_ref().map(Value::to_string).unwrap_or_default();
    let header = by.sign(&method, uri, text.as_bytes(), &of.name);
    let request = of.server.request(method, uri);
    let request = request.header("authorization", &header.to_string());
    match body {
        Some(body) => request.json(&body).send().await,
        None => request.send().await,
    }
}

fn names(page: &Value) -> Vec<&str> {
    let rooms = page["chunk"].as_array().unwrap().iter();
    rooms.map(|room| room["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_public_rooms_of_another_server() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let bob = two.server.register("bob").await;
    for name in ["apple", "banana", "cherry"] {
        let room = json!({ "visibility": "public", "preset": "public_chat", "name": name });
        alice.create_room(room).await;
    }
    alice.create_room(json!({ "name": "secret" })).await;
    let uri = "/_matrix/federation/v1/publicRooms";
    let all = ask(&one, &two, Method::GET, uri, None).await.ok();
    assert_eq!(names(&all).len(), 3);
    assert_eq!(all["total_room_count_estimate"], 3);
    let limited = format!("{uri}?limit=2");
    let page = ask(&one, &two, Method::GET, &limited, None).await.ok();
    assert_eq!(names(&page).len(), 2);
    let since = encode(page["next_batch"].as_str().unwrap());
    let next = format!("{uri}?limit=2&since={since}");
    let rest = ask(&one, &two, Method::GET, &next, None).await.ok();
    assert_eq!(names(&rest).len(), 1);
    let bad = format!("{uri}?since=nonsense");
    let bad = ask(&one, &two, Method::GET, &bad, None).await;
    bad.error(400, "M_INVALID_PARAM");
    let body = json!({ "filter": { "generic_search_term": "BANANA" } });
    let found = ask(&one, &two, Method::POST, uri, Some(body)).await.ok();
    assert_eq!(names(&found), ["banana"]);
    let irc = json!({ "third_party_instance_id": "irc" });
    let none = ask(&one, &two, Method::POST, uri, Some(irc)).await.ok();
    assert_eq!(none["chunk"], json!([]));
    one.server
        .get(uri)
        .send()
        .await
        .error(401, "M_UNAUTHORIZED");

    // The same for a client of the other server.
    let there = one.name.as_str();
    let page = bob.get(PATH).query("server", there).query("limit", "2");
    let page = page.send().await.ok();
    assert_eq!(names(&page).len(), 2);
    let since = page["next_batch"].as_str().unwrap();
    let rest = bob.get(PATH).query("server", there).query("since", since);
    assert_eq!(names(&rest.send().await.ok()).len(), 1);
    let body = json!({ "filter": { "generic_search_term": "cherry" } });
    let found = bob.post(PATH).query("server", there).json(&body);
    assert_eq!(names(&found.send().await.ok()), ["cherry"]);
    let own = bob.get(PATH).query("server", two.name.as_str());
    assert_eq!(own.send().await.ok()["chunk"], json!([]));
    let bad = bob.get(PATH).query("server", there).query("since", "no");
    bad.send().await.error(400, "M_INVALID_PARAM");
    one.open.close().await;
    let away = bob.get(PATH).query("server", there);
    away.send().await.error(502, "M_UNKNOWN");
}
