//! `GET` and `POST /_synapse/admin/v1/register`

use std::fmt::Write as _;

use std::time::Duration;

use hmac::{Hmac, Mac};
use ruma::UserId;
use serde_json::{Value, json};
use sha1::Sha1;

use super::log_in;
use crate::support::{Answer, TestServer};

const REGISTER: &str = "/_synapse/admin/v1/register";
const SECRET: &str = "shared secret";

async fn with_secret() -> TestServer {
    TestServer::configure()
        .set("registration.enabled", "false")
        .set("registration.shared_secret", SECRET)
        .start()
        .await
}

async fn nonce(server: &TestServer) -> String {
    let answer = server.get(REGISTER).send().await.ok();
    answer["nonce"].as_str().unwrap().to_owned()
}

fn signed(secret: &str, nonce: &str, name: &str, admin: bool) -> Value {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    let role = if admin { "admin" } else { "notadmin" };
    mac.update(format!("{nonce}\0{name}\0wonderland\0{role}").as_bytes());
    let mac = mac.finalize().into_bytes();
    let mac = mac.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    json!({
        "nonce": nonce,
        "username": name,
        "password": "wonderland",
        "admin": admin,
        "mac": mac,
    })
}

async fn post(server: &TestServer, body: &Value) -> Answer {
    server.post(REGISTER).json(body).send().await
}

#[tokio::test]
async fn registers_users_and_administrators() {
    let server = with_secret().await;
    for (name, admin) in [("alice", false), ("root", true)] {
        let body = signed(SECRET, &nonce(&server).await, name, admin);
        let answer = post(&server, &body).await.ok();
        assert_eq!(answer["home_server"], "test.example");
        assert!(answer["access_token"].is_string());
        let id = UserId::parse(answer["user_id"].as_str().unwrap()).unwrap();
        let user = server.app.users.lookup(&id).await.unwrap().unwrap();
        assert_eq!(user.admin, admin);
        log_in(&server, name, "wonderland").await.ok();
    }
}

#[tokio::test]
async fn takes_a_nonce_once_and_for_a_minute() {
    let server = with_secret().await;
    let used = nonce(&server).await;
    post(&server, &signed(SECRET, &used, "alice", false))
        .await
        .ok();
    let again = signed(SECRET, &used, "bob", false);
    post(&server, &again).await.error(400, "M_UNKNOWN");
    let old = nonce(&server).await;
    server.clock.advance(Duration::from_secs(61));
    let late = signed(SECRET, &old, "bob", false);
    post(&server, &late).await.error(400, "M_UNKNOWN");
    let made_up = signed(SECRET, "made up", "bob", false);
    post(&server, &made_up).await.error(400, "M_UNKNOWN");
}

#[tokio::test]
async fn refuses_codes_that_the_secret_did_not_make() {
    let server = with_secret().await;
    let mut wrong = vec![signed("other secret", &nonce(&server).await, "bob", true)];
    let mut raised = signed(SECRET, &nonce(&server).await, "bob", false);
    raised["admin"] = json!(true);
    wrong.push(raised);
    for mac in ["", "zz", "00"] {
        let mut body = signed(SECRET, &nonce(&server).await, "bob", false);
        body["mac"] = json!(mac);
        wrong.push(body);
    }
    for body in wrong {
        post(&server, &body).await.error(403, "M_FORBIDDEN");
    }
    let body = json!({ "nonce": nonce(&server).await });
    post(&server, &body).await.error(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn does_nothing_without_a_secret() {
    let server = TestServer::start().await;
    let answer = server.get(REGISTER).send().await;
    answer.error(400, "M_UNKNOWN");
    let answer = post(&server, &signed("", "x", "bob", true)).await;
    answer.error(400, "M_UNKNOWN");
}
