//! Cross-origin requests of web clients.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients)

use http::Method;
use matryx_server::{api, config::Service};

use crate::support::TestServer;

#[tokio::test]
async fn a_preflight_passes_on_every_route_without_a_token() {
    let server = TestServer::start().await;
    let routes = api::endpoints(Service::Client);
    let mut paths: Vec<&str> = routes
        .table()
        .iter()
        .map(|route| route.path.as_str())
        .collect();
    assert!(paths.len() > 50);
    paths.push("/_matrix/client/v3/no_such_thing");
    for path in paths {
        let path = path.replace(['{', '}'], "");
        let answer = server
            .request(Method::OPTIONS, &path)
            .header("origin", "https://client.example")
            .header("access-control-request-method", "PUT")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .send()
            .await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.bytes.is_empty(), "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        let methods = answer.headers["access-control-allow-methods"]
            .to_str()
            .unwrap();
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            assert!(methods.contains(method), "{methods}");
        }
        let headers = answer.headers["access-control-allow-headers"]
            .to_str()
            .unwrap();
        for header in ["X-Requested-With", "Content-Type", "Authorization"] {
            assert!(headers.contains(header), "{headers}");
        }
    }
}

#[tokio::test]
async fn answers_and_errors_may_be_read_from_any_origin() {
    let server = TestServer::start().await;
    for path in [
        "/_matrix/client/versions",
        "/_matrix/client/v3/sync",
        "/_matrix/client/v3/no_such_thing",
    ] {
        let answer = server.get(path).send().await;
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_its_own_request_id() {
    let server = TestServer::start().await;
    let first = server.get("/_matrix/client/versions").send().await;
    let second = server
        .get("/nowhere")
        .header("x-request-id", "mine")
        .send()
        .await;
    let (first, second) = (
        &first.headers["x-request-id"],
        &second.headers["x-request-id"],
    );
    assert_ne!(first, second);
    assert_ne!(second, "mine");
}
