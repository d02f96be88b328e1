//! `GET` and `PUT /directory/list/room/{roomId}`

use serde_json::json;

use crate::support::{TestServer, encode};

fn path(room: &str) -> String {
    format!("/_matrix/client/v3/directory/list/room/{}", encode(room))
}

#[tokio::test]
async fn a_room_is_put_on_the_list_and_taken_off() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let listed = async || server.get(&path(&room)).send().await.ok()["visibility"].clone();
    assert_eq!(listed().await, "private");
    for visibility in ["public", "public", "private", "private", "public"] {
        let body = json!({ "visibility": visibility });
        alice.put(&path(&room)).json(&body).send().await.ok();
        assert_eq!(listed().await, visibility);
    }
    let made_public = alice.create_room(json!({ "visibility": "public" })).await;
    let body = server.get(&path(&made_public)).send().await.ok();
    assert_eq!(body, json!({ "visibility": "public" }));
}

#[tokio::test]
async fn only_those_with_the_power_publish_a_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let body = json!({ "visibility": "public" });
    bob.put(&path(&room))
        .json(&body)
        .send()
        .await
        .error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    bob.put(&path(&room))
        .json(&body)
        .send()
        .await
        .error(403, "M_FORBIDDEN");
    server
        .put(&path(&room))
        .json(&body)
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
    let unknown = path("!nowhere:test.example");
    alice
        .put(&unknown)
        .json(&body)
        .send()
        .await
        .error(404, "M_NOT_FOUND");
    server.get(&unknown).send().await.error(404, "M_NOT_FOUND");
    let malformed = alice
        .put(&path(&room))
        .json(&json!({ "visibility": 1 }))
        .send()
        .await;
    malformed.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn the_operator_says_who_may_publish() {
    for who in ["administrators", "nobody"] {
        let server = TestServer::configure()
            .set("room_directory.publication", who)
            .start()
            .await;
        let alice = server.register("alice").await;
        let room = alice.create_room(json!({ "preset": "public_chat" })).await;
        let body = json!({ "visibility": "public" });
        let denied = alice.put(&path(&room)).json(&body).send().await;
        denied.error(403, "M_FORBIDDEN");
        let create = alice.post("/_matrix/client/v3/createRoom");
        create.json(&body).send().await.error(403, "M_FORBIDDEN");
        let private = json!({ "visibility": "private" });
        alice.put(&path(&room)).json(&private).send().await.ok();
    }
}
