//! Health and metrics, also while the database is away.

use http::Method;
use matryx_server::{api, config::Service};

use crate::support::{Outgoing, TestServer};

#[tokio::test]
async fn is_live_and_ready() {
    let server = TestServer::start().await;
    assert_eq!(
        server.get("/_matryx/health/live").send().await.ok()["status"],
        "live"
    );
    assert_eq!(
        server.get("/_matryx/health/ready").send().await.ok()["status"],
        "ready"
    );
}

#[tokio::test]
async fn says_503_while_the_database_is_away() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    server.app.store.close().await;
    let answer = server.get("/_matryx/health/ready").send().await;
    answer.error(503, "M_UNKNOWN");
    assert!(answer.headers.contains_key("retry-after"));
    let answer = alice
        .post("/_matrix/client/v3/createRoom")
        .json(&serde_json::json!({}))
        .send()
        .await;
    let body = answer.error(503, "M_UNKNOWN");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(
        !body["error"].as_str().unwrap().contains("database"),
        "{body}"
    );
    assert_eq!(server.get("/_matryx/health/live").send().await.status, 200);
}

#[tokio::test]
async fn metrics_are_served_where_the_operator_wants_them_only() {
    let server = TestServer::start().await;
    server
        .get("/metrics")
        .send()
        .await
        .error(404, "M_UNRECOGNIZED");
    let router = api::router(server.app.clone(), &[Service::Metrics]);
    let answer = Outgoing::get(router.clone(), "/metrics").send().await;
    assert_eq!(answer.status, 200);
    let answer = Outgoing::get(router, "/_matrix/client/versions")
        .send()
        .await;
    answer.error(404, "M_UNRECOGNIZED");
    let answer = server
        .request(Method::HEAD, "/_matryx/health/live")
        .send()
        .await;
    assert_eq!(answer.status, 200);
}
