//! Paths and methods that no endpoint has.

use http::Method;

use crate::support::TestServer;

#[tokio::test]
async fn an_unknown_path_is_404_under_every_prefix() {
    let server = TestServer::start().await;
    for path in [
        "/_matrix/client/v3/no_such_thing",
        "/_matrix/client/v99/sync",
        "/_matrix/client/",
        "/_matrix/federation/v1/no_such_thing",
        "/_matrix/key/v2/no_such_thing",
        "/_matrix/media/v3/no_such_thing",
        "/_matrix/app/v1/no_such_thing",
        "/_matrix/no_such_api",
        "/_matrix",
        "/_synapse/admin/v1/no_such_thing",
        "/_synapse/no_such_thing",
        "/.well-known/matrix/no_such_thing",
        "/",
        "/%ff%fe",
    ] {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
        ] {
            let answer = server.request(method, path).send().await;
            answer.error(404, "M_UNRECOGNIZED");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_405() {
    let server = TestServer::start().await;
    for (method, path) in [
        (Method::POST, "/_matrix/client/versions"),
        (Method::PATCH, "/_matrix/client/v3/sync"),
        (Method::DELETE, "/_matrix/client/v3/capabilities"),
        (Method::PUT, "/_matrix/client/r0/login"),
        (Method::POST, "/.well-known/matrix/client"),
        (Method::GET, "/_matrix/client/v3/createRoom"),
        (
            Method::GET,
            "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1",
        ),
    ] {
        let answer = server.request(method, path).send().await;
        answer.error(405, "M_UNRECOGNIZED");
    }
    // A token makes no difference.
    let alice = server.register("alice").await;
    let answer = alice.delete("/_matrix/client/v3/capabilities").send().await;
    answer.error(405, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = TestServer::start().await;
    let got = server.get("/_matrix/client/versions").send().await;
    got.ok();
    let answer = server
        .request(Method::HEAD, "/_matrix/client/versions")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.bytes.is_empty());
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn serves_every_version_of_a_path() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for version in ["r0", "v3"] {
        let path = format!("/_matrix/client/{version}/capabilities");
        alice.get(&path).send().await.ok();
    }
}
