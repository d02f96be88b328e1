//! Bodies that are no JSON, too long, compressed, or not what the endpoint takes.

use serde_json::json;

use crate::support::{TestServer, TestUser};

/// An endpoint that takes any JSON object.
fn account_data(user: &TestUser) -> String {
    let id = crate::support::encode(&user.id);
    format!("/_matrix/client/v3/user/{id}/account_data/com.example.test")
}

#[tokio::test]
async fn refuses_what_is_not_json() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = account_data(&alice);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let bodies: [&[u8]; 8] = [
        b"{",
        b"{\"a\":1",
        b"{\"a\":1}}",
        b"hello",
        b"{\"a\":\"\xff\xfe\"}",
        br#"{"a":"\ud800"}"#,
        br#"{"a":{"b":["\udfff!"]}}"#,
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = alice.put(&path).bytes(body.to_vec()).send().await;
        answer.error(400, "M_NOT_JSON");
    }
    alice
        .put(&path)
        .json(&json!({ "fine": "\u{1F600}" }))
        .send()
        .await
        .ok();
}

#[tokio::test]
async fn names_what_is_wrong_with_json() {
    let server = TestServer::start().await;
    let post = |body: &'static str| server.post("/_matrix/client/v3/login").bytes(body).send();
    post(r#"{"type":"#).await.error(400, "M_NOT_JSON");
    post(r#"{"type":7}"#).await.error(400, "M_BAD_JSON");
    post("[]").await.error(400, "M_BAD_JSON");
    post("{}").await.error(400, "M_MISSING_PARAM");
    post("").await.error(400, "M_MISSING_PARAM");
    // A wrong type does not hide that the rest is no JSON at all.
    post(r#"{"type":7,"#).await.error(400, "M_NOT_JSON");
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!(
        "/_matrix/client/v3/rooms/{}/leave",
        crate::support::encode(room)
    );
    alice.post(&path).send().await.ok();
}

#[tokio::test]
async fn the_last_of_equal_keys_counts() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = format!(
        "/_matrix/client/v3/devices/{}",
        crate::support::encode(&alice.device_id)
    );
    let body = r#"{"display_name":"first","display_name":"last"}"#;
    alice.put(&path).bytes(body).send().await.ok();
    assert_eq!(alice.get(&path).send().await.ok()["display_name"], "last");

    let path = account_data(&alice);
    alice.put(&path).bytes(r#"{"a":1,"a":2}"#).send().await.ok();
    assert_eq!(alice.get(&path).send().await.ok(), json!({ "a": 2 }));
}

#[tokio::test]
async fn refuses_long_bodies() {
    let server = TestServer::configure()
        .set("http.max_body", "128 KiB")
        .start()
        .await;
    let alice = server.register("alice").await;
    let path = account_data(&alice);
    let long = json!({ "a": "x".repeat(128 * 1024) }).to_string();
    let answer = alice.put(&path).bytes(long.clone()).send().await;
    answer.error(413, "M_TOO_LARGE");
    // Also when the length that is announced is a lie.
    let answer = alice
        .put(&path)
        .header("content-length", "2")
        .bytes(long)
        .send()
        .await;
    answer.error(413, "M_TOO_LARGE");
    let answer = alice
        .put(&path)
        .header("content-length", "99999999")
        .bytes("{}")
        .send()
        .await;
    answer.error(413, "M_TOO_LARGE");
    alice
        .put(&path)
        .json(&json!({ "a": "x".repeat(1024) }))
        .send()
        .await
        .ok();
}

#[tokio::test]
async fn refuses_compressed_bodies() {
    let server = TestServer::start().await;
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, identity"] {
        let answer = server
            .post("/_matrix/client/v3/login")
            .header("content-encoding", encoding)
            .bytes(&b"\x1f\x8b\x08\x00"[..])
            .send()
            .await;
        assert_eq!(answer.status, 415, "{encoding}");
    }
}

#[tokio::test]
async fn refuses_ids_that_are_none() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for path in [
        "/_matrix/client/v3/rooms/room/state",
        "/_matrix/client/v3/rooms/%ff/state",
        "/_matrix/client/v3/rooms/%00/state",
        "/_matrix/client/v3/profile/alice",
        "/_matrix/client/v3/profile/%40alice",
        "/_matrix/client/v3/sync?timeout=soon",
        "/_matrix/client/v3/sync?since=garbage",
        "/_matrix/client/v3/rooms/!a:b/messages?dir=sideways",
    ] {
        alice.get(path).send().await.error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn a_missing_query_parameter_is_named() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = crate::support::encode(alice.create_room(json!({})).await);
    let path = format!("/_matrix/client/v3/rooms/{room}/messages");
    alice.get(&path).send().await.error(400, "M_MISSING_PARAM");
}
