//! `POST /_matrix/client/v3/account/password`

use serde_json::{Value, json};

use super::{another_session, challenge, log_in, password_stage};
use crate::support::{TestServer, TestUser};

const PASSWORD: &str = "/_matrix/client/v3/account/password";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn change(user: &TestUser, body: &Value) {
    let mut body = body.clone();
    let asked = challenge(&user.post(PASSWORD).json(&body).send().await);
    body["auth"] = password_stage(&user.id, TestUser::PASSWORD, &asked["session"]);
    user.post(PASSWORD).json(&body).send().await.ok();
}

#[tokio::test]
async fn changes_the_password_and_ends_other_sessions() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    laptop.get(WHOAMI).send().await.ok();
    change(&phone, &json!({ "new_password": "new secret" })).await;
    phone.get(WHOAMI).send().await.ok();
    laptop
        .get(WHOAMI)
        .send()
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let answer = log_in(&server, "alice", TestUser::PASSWORD).await;
    answer.error(403, "M_FORBIDDEN");
    log_in(&server, "alice", "new secret").await.ok();
}

#[tokio::test]
async fn keeps_other_sessions_when_asked_to() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let body = json!({ "new_password": "new secret", "logout_devices": false });
    change(&phone, &body).await;
    laptop.get(WHOAMI).send().await.ok();
}

#[tokio::test]
async fn limits_guessing() {
    let server = TestServer::configure()
        .set("rate_limit.enabled", "true")
        .set("rate_limit.login", "3 per 1m")
        .start()
        .await;
    let alice = server.register("alice").await;
    let attempt = |password| {
        let stage = password_stage("alice", password, &json!(null));
        let body = json!({ "new_password": "new secret", "auth": stage });
        alice.post(PASSWORD).json(&body).send()
    };
    for _ in 0..3 {
        challenge(&attempt("wrong").await);
    }
    let answer = attempt(TestUser::PASSWORD).await;
    answer.error(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn needs_a_token_and_a_password() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = json!({ "new_password": "new secret" });
    let answer = server.post(PASSWORD).json(&body).send().await;
    answer.error(401, "M_MISSING_TOKEN");
    let answer = alice.post(PASSWORD).json(&json!({})).send().await;
    answer.error(400, "M_MISSING_PARAM");
    let stage = password_stage("alice", TestUser::PASSWORD, &json!(null));
    let body = json!({ "new_password": "", "auth": stage });
    let answer = alice.post(PASSWORD).json(&body).send().await;
    answer.error(400, "M_WEAK_PASSWORD");
    log_in(&server, "alice", TestUser::PASSWORD).await.ok();
}
