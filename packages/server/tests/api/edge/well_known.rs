//! `/.well-known/matrix/*`, versions and capabilities.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn well_known_files_exist_once_configured() {
    let server = TestServer::start().await;
    for file in ["client", "server", "support"] {
        let path = format!("/.well-known/matrix/{file}");
        server.get(&path).send().await.error(404, "M_NOT_FOUND");
    }
    let server = TestServer::configure()
        .set("well_known.client_base_url", "https://matrix.test.example")
        .set("well_known.server", "matrix.test.example:443")
        .set("well_known.support_page", "https://test.example/help")
        .start()
        .await;
    let file = async |name: &str| {
        let path = format!("/.well-known/matrix/{name}");
        server.get(&path).send().await.ok()
    };
    let client = file("client").await;
    let base_url = client["m.homeserver"]["base_url"].as_str().unwrap();
    assert_eq!(
        base_url.trim_end_matches('/'),
        "https://matrix.test.example"
    );
    assert_eq!(
        file("server").await,
        json!({ "m.server": "matrix.test.example:443" })
    );
    assert_eq!(
        file("support").await["support_page"],
        "https://test.example/help"
    );
}

#[tokio::test]
async fn names_versions_and_capabilities() {
    let server = TestServer::start().await;
    let versions = server.get("/_matrix/client/versions").send().await.ok();
    let versions = versions["versions"].as_array().unwrap();
    assert!(versions.contains(&json!("v1.1")));
    let alice = server.register("alice").await;
    let body = alice
        .get("/_matrix/client/v3/capabilities")
        .send()
        .await
        .ok();
    let rooms = &body["capabilities"]["m.room_versions"];
    assert_eq!(rooms["default"], "12");
    assert_eq!(rooms["available"]["12"], "stable");
    assert_eq!(rooms["available"].as_object().unwrap().len(), 7);
    let path = "/_matrix/client/v3/capabilities";
    server.get(path).send().await.error(401, "M_MISSING_TOKEN");
}
