//! The one-time token that registers the first administrator.

use ruma::UserId;
use serde_json::json;

use super::challenge;
use crate::support::{Answer, TestServer};

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

async fn is_admin(server: &TestServer, user: &str) -> bool {
    let user = UserId::parse(user).unwrap();
    let user = server.app.users.lookup(&user).await.unwrap();
    user.unwrap().admin
}

#[tokio::test]
async fn makes_one_administrator_and_no_more() {
    let server = TestServer::start().await;
    let token = server.first_admin_token.clone().unwrap();
    let alice = server.register("alice").await;
    assert!(!is_admin(&server, &alice.id).await);
    assert_eq!(
        server.app.users.first_admin_token().await.unwrap(),
        Some(token.clone())
    );
    let names = ["root", "second", "third"];
    let attempts = names.map(|name| register(&server, name, &token));
    let answers = futures_util::future::join_all(attempts).await;
    let registered: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(registered.len(), 1);
    let body = registered[0].ok();
    assert!(is_admin(&server, body["user_id"].as_str().unwrap()).await);
    assert_eq!(server.app.users.first_admin_token().await.unwrap(), None);
    // Open registration goes on without the token's flow.
    let asked = register(&server, "late", &token).await;
    let asked = challenge(&asked);
    assert_eq!(asked["flows"], json!([{ "stages": ["m.login.dummy"] }]));
}

#[tokio::test]
async fn is_withdrawn_when_somebody_is_made_administrator_otherwise() {
    let server = TestServer::start().await;
    let token = server.first_admin_token.clone().unwrap();
    let alice = server.register("alice").await;
    let user = UserId::parse(&alice.id).unwrap();
    server.app.users.set_admin(&user, true).await.unwrap();
    assert!(is_admin(&server, &alice.id).await);
    assert_eq!(server.app.users.first_admin_token().await.unwrap(), None);
    challenge(&register(&server, "root", &token).await);
}

#[tokio::test]
async fn lets_nobody_else_past_a_stage() {
    let server = TestServer::configure()
        .set(
            "registration.flows",
            "m.login.registration_token+m.login.terms",
        )
        .set("registration.tokens", "welcome")
        .set(
            "registration.terms",
            "[{ id = 'terms', title = 'Terms', url = 'https://test.example/terms' }]",
        )
        .start()
        .await;
    let asked = challenge(&register(&server, "alice", "welcome").await);
    assert_eq!(asked["completed"], json!(["m.login.registration_token"]));
    let admin_token = server.first_admin_token.clone().unwrap();
    let answer = register(&server, "root", &admin_token).await.ok();
    assert!(is_admin(&server, answer["user_id"].as_str().unwrap()).await);
}
