//! Registration with tokens, and `GET …/register/m.login.registration_token/validity`

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::challenge;
use crate::support::{Answer, TestServer};

const VALIDITY: &str = "/_matrix/client/v1/register/m.login.registration_token/validity";

async fn with_tokens() -> TestServer {
    TestServer::configure()
        .set("registration.flows", "m.login.registration_token")
        .set("registration.tokens", "welcome")
        .start()
        .await
}

async fn register(server: &TestServer, name: &str, token: &str) -> Answer {
    let body = json!({
        "username": name,
        "password": "secret",
        "auth": { "type": "m.login.registration_token", "token": token },
    });
    server
        .post("/_matrix/client/v3/register")
        .json(&body)
        .send()
        .await
}

async fn validity(server: &TestServer, token: &str) -> Value {
    let answer = server.get(VALIDITY).query("token", token).send().await;
    answer.ok()["valid"].clone()
}

#[tokio::test]
async fn a_configured_token_registers_any_number_of_accounts() {
    let server = with_tokens().await;
    assert_eq!(validity(&server, "welcome").await, true);
    register(&server, "alice", "welcome").await.ok();
    register(&server, "bob", "welcome").await.ok();
}

#[tokio::test]
async fn refuses_tokens_that_nobody_gave_out() {
    let server = with_tokens().await;
    for token in ["", "Welcome", "welcome ", "x'); --", &"x".repeat(100)] {
        assert_eq!(validity(&server, token).await, false);
        let refused = challenge(&register(&server, "alice", token).await);
        assert_eq!(refused["errcode"], "M_FORBIDDEN");
    }
    server
        .get(VALIDITY)
        .send()
        .await
        .error(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn a_token_registers_as_many_accounts_as_it_allows() {
    let server = with_tokens().await;
    let token = server
        .app
        .users
        .create_registration_token(Some(2))
        .await
        .unwrap();
    register(&server, "alice", &token).await.ok();
    assert_eq!(validity(&server, &token).await, true);
    // A name that is taken costs no use.
    register(&server, "alice", &token)
        .await
        .error(400, "M_USER_IN_USE");
    register(&server, "bob", &token).await.ok();
    assert_eq!(validity(&server, &token).await, false);
    let refused = challenge(&register(&server, "carol", &token).await);
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
}

#[tokio::test]
async fn fifty_at_once_with_a_token_for_one_register_one() {
    let server = with_tokens().await;
    let token = server
        .app
        .users
        .create_registration_token(Some(1))
        .await
        .unwrap();
    let names: Vec<_> = (0..50).map(|number| format!("user{number}")).collect();
    let attempts = names.iter().map(|name| register(&server, name, &token));
    let answers = join_all(attempts).await;
    let registered = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(registered.count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        challenge(answer);
    }
}
