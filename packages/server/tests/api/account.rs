//! Accounts, by URL.

mod account_data;
mod deactivate;
mod devices;
mod filter;
mod first_admin;
mod login;
mod logout;
mod password;
mod profile;
mod pushrules;
mod refresh;
mod register;
mod registration_token;
mod shared_secret;
mod tags;
mod web;
mod whoami;

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser};

/// Logs in with a password.
pub(crate) async fn log_in(server: &TestServer, user: &str, password: &str) -> Answer {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    });
    server
        .post("/_matrix/client/v3/login")
        .json(&body)
        .send()
        .await
}

/// A further session of a user.
pub(crate) async fn another_session(server: &TestServer, user: &TestUser) -> TestUser {
    let answer = log_in(server, &user.id, TestUser::PASSWORD).await;
    TestUser::new(server.router.clone(), &answer.ok())
}

/// What the stage `m.login.password` sends.
pub(crate) fn password_stage(user: &str, password: &str, session: &Value) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
        "session": session,
    })
}

/// The flows, the session and the completed stages that a 401 asks with.
#[track_caller]
pub(crate) fn challenge(answer: &Answer) -> Value {
    assert_eq!(answer.status, 401, "{:?}", answer.bytes);
    let body = answer.json();
    assert!(body["flows"].is_array(), "{body}");
    assert!(body["params"].is_object(), "{body}");
    assert!(body["session"].is_string(), "{body}");
    body
}
