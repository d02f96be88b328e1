//! `POST /_matrix/client/v3/refresh`

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn refresh(server: &TestServer, token: &Value) -> Answer {
    server
        .post("/_matrix/client/v3/refresh")
        .json(&json!({ "refresh_token": token }))
        .send()
        .await
}

async fn whoami(server: &TestServer, session: &Value) -> Answer {
    let token = session["access_token"].as_str().unwrap();
    server.get(WHOAMI).token(token).send().await
}

async fn refreshable(server: &TestServer) -> Value {
    server.register("alice").await;
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": TestUser::PASSWORD,
        "refresh_token": true,
    });
    let request = server.post("/_matrix/client/v3/login").json(&body);
    request.send().await.ok()
}

#[tokio::test]
async fn exchanges_tokens_when_the_old_one_expires() {
    let server = TestServer::start().await;
    let first = refreshable(&server).await;
    assert_eq!(first["expires_in_ms"], 3_600_000);
    whoami(&server, &first).await.ok();
    server.clock.advance(Duration::from_secs(3601));
    let body = whoami(&server, &first).await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(body["soft_logout"], true);
    let second = refresh(&server, &first["refresh_token"]).await.ok();
    assert_eq!(second["expires_in_ms"], 3_600_000);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let who = whoami(&server, &second).await.ok();
    assert_eq!(who["device_id"], first["device_id"]);
}

#[tokio::test]
async fn the_old_tokens_live_until_the_new_access_token_is_used() {
    let server = TestServer::start().await;
    let first = refreshable(&server).await;
    let second = refresh(&server, &first["refresh_token"]).await.ok();
    whoami(&server, &first).await.ok();
    // The answer got lost: the same token again; the tokens of the lost answer end.
    let third = refresh(&server, &first["refresh_token"]).await.ok();
    whoami(&server, &second).await.error(401, "M_UNKNOWN_TOKEN");
    whoami(&server, &third).await.ok();
    whoami(&server, &first).await.error(401, "M_UNKNOWN_TOKEN");
    refresh(&server, &first["refresh_token"])
        .await
        .error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn the_old_tokens_live_until_the_new_refresh_token_is_used() {
    let server = TestServer::start().await;
    let first = refreshable(&server).await;
    let second = refresh(&server, &first["refresh_token"]).await.ok();
    let third = refresh(&server, &second["refresh_token"]).await.ok();
    refresh(&server, &first["refresh_token"])
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    whoami(&server, &first).await.error(401, "M_UNKNOWN_TOKEN");
    whoami(&server, &second).await.ok();
    whoami(&server, &third).await.ok();
    whoami(&server, &second).await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn ends_with_the_session() {
    let server = TestServer::start().await;
    let first = refreshable(&server).await;
    let token = first["access_token"].as_str().unwrap();
    let request = server.post("/_matrix/client/v3/logout").token(token);
    request.send().await.ok();
    let body = refresh(&server, &first["refresh_token"])
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_ne!(body["soft_logout"], true);
}

#[tokio::test]
async fn refuses_tokens_that_are_nobodys_or_too_old() {
    let server = TestServer::configure()
        .set("session.refresh_token_lifetime", "1d")
        .start()
        .await;
    let first = refreshable(&server).await;
    for token in [json!(""), json!("x"), first["access_token"].clone()] {
        refresh(&server, &token).await.error(401, "M_UNKNOWN_TOKEN");
    }
    refresh(&server, &json!(1)).await.error(400, "M_BAD_JSON");
    let answer = server
        .post("/_matrix/client/v3/refresh")
        .json(&json!({}))
        .send()
        .await;
    answer.error(400, "M_MISSING_PARAM");
    server.clock.advance(Duration::from_hours(24));
    let body = refresh(&server, &first["refresh_token"])
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(body["soft_logout"], true);
}
