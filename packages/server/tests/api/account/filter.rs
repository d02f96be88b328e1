//! `/_matrix/client/v3/user/{userId}/filter[/{filterId}]`

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser, encode};

fn path(user: &str) -> String {
    format!("/_matrix/client/v3/user/{}/filter", encode(user))
}

async fn create(user: &TestUser, filter: &Value) -> Answer {
    user.post(&path(&user.id)).json(filter).send().await
}

#[tokio::test]
async fn gives_a_filter_back_under_its_id() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let filter = json!({
        "room": { "timeline": { "limit": 10, "types": ["m.room.message"] } },
    });
    let created = create(&alice, &filter).await.ok();
    let id = created["filter_id"].as_str().unwrap();
    assert!(!id.starts_with('{'));
    let request = alice.get(&format!("{}/{id}", path(&alice.id)));
    assert_eq!(request.send().await.ok(), filter);
    let again = create(&alice, &filter).await.ok();
    assert_eq!(again["filter_id"], id);
    let other = create(&alice, &json!({})).await.ok();
    assert_ne!(other["filter_id"], id);
}

#[tokio::test]
async fn belongs_to_its_user() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let created = create(&alice, &json!({})).await.ok();
    let id = created["filter_id"].as_str().unwrap();
    let request = bob.get(&format!("{}/{id}", path(&alice.id)));
    request.send().await.error(403, "M_FORBIDDEN");
    let request = bob.get(&format!("{}/{id}", path(&bob.id)));
    request.send().await.error(404, "M_NOT_FOUND");
    let request = bob.post(&path(&alice.id)).json(&json!({}));
    request.send().await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn refuses_what_is_no_filter_or_too_large() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for filter in [
        json!({ "room": 1 }),
        json!({ "room": { "timeline": { "limit": "many" } } }),
        json!({ "room": { "rooms": [1] } }),
    ] {
        create(&alice, &filter).await.error(400, "M_BAD_JSON");
    }
    let types = vec!["x".repeat(1000); 70];
    let large = json!({ "presence": { "types": types } });
    create(&alice, &large).await.error(413, "M_TOO_LARGE");
}
