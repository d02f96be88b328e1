//! `POST /_matrix/client/v3/register` and `GET …/register/available`

use serde_json::{Value, json};

use super::{challenge, log_in};
use crate::support::{Answer, TestServer};

const REGISTER: &str = "/_matrix/client/v3/register";
const AVAILABLE: &str = "/_matrix/client/v3/register/available";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

const BRIDGE: &str = r#"
id: bridge
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: bridge_bot
namespaces:
  users: [{ exclusive: true, regex: "@_bridge_.*:test\\.example" }]
  aliases: []
  rooms: []
"#;

async fn register(server: &TestServer, body: &Value) -> Answer {
    server.post(REGISTER).json(body).send().await
}

fn with_dummy(name: &str) -> Value {
    json!({
        "username": name,
        "password": "secret",
        "auth": { "type": "m.login.dummy" },
    })
}

#[tokio::test]
async fn registers_with_a_dummy_stage_in_the_first_request() {
    let server = TestServer::start().await;
    let mut body = with_dummy("alice");
    body["device_id"] = json!("PHONE");
    body["initial_device_display_name"] = json!("Alice's phone");
    let answer = register(&server, &body).await.ok();
    assert_eq!(answer["user_id"], "@alice:test.example");
    assert_eq!(answer["device_id"], "PHONE");
    assert!(answer["refresh_token"].is_null(), "{answer}");
    let token = answer["access_token"].as_str().unwrap();
    let who = server.get(WHOAMI).token(token).send().await.ok();
    assert_eq!(who["user_id"], "@alice:test.example");
    assert_eq!(who["device_id"], "PHONE");
    let device = server
        .get("/_matrix/client/v3/devices/PHONE")
        .token(token)
        .send()
        .await
        .ok();
    assert_eq!(device["display_name"], "Alice's phone");
}

#[tokio::test]
async fn leads_through_a_flow_step_by_step() {
    let server = TestServer::configure()
        .set("registration.flows", "m.login.terms+m.login.dummy")
        .set(
            "registration.terms",
            r#"[{ id = "privacy", title = "Privacy", url = "https://test.example/privacy" }]"#,
        )
        .start()
        .await;
    let mut body = json!({ "username": "alice", "password": "secret" });
    let first = challenge(&register(&server, &body).await);
    assert_eq!(
        first["flows"][0]["stages"],
        json!(["m.login.terms", "m.login.dummy"])
    );
    assert_eq!(
        first["params"]["m.login.terms"]["policies"],
        json!({
            "privacy": {
                "version": "1.0",
                "en": { "name": "Privacy", "url": "https://test.example/privacy" },
            },
        })
    );
    assert!(first["errcode"].is_null(), "{first}");
    body["auth"] = json!({ "type": "m.login.terms", "session": first["session"] });
    let second = challenge(&register(&server, &body).await);
    assert_eq!(second["completed"], json!(["m.login.terms"]));
    assert_eq!(second["session"], first["session"]);
    body["auth"] = json!({ "type": "m.login.dummy", "session": first["session"] });
    register(&server, &body).await.ok();
    // The session is used up.
    body["username"] = json!("bob");
    let third = challenge(&register(&server, &body).await);
    assert_eq!(third["errcode"], "M_UNKNOWN");
    assert_ne!(third["session"], first["session"]);
}

#[tokio::test]
async fn answers_wrong_and_late_stages_with_a_new_challenge() {
    let server = TestServer::start().await;
    let mut body = json!({ "username": "alice", "password": "secret" });
    let first = challenge(&register(&server, &body).await);
    body["auth"] = json!({ "type": "m.login.terms", "session": first["session"] });
    let refused = challenge(&register(&server, &body).await);
    assert_eq!(refused["errcode"], "M_UNRECOGNIZED");
    assert_eq!(refused["session"], first["session"]);
    server.clock.advance(std::time::Duration::from_mins(16));
    body["auth"] = json!({ "type": "m.login.dummy", "session": first["session"] });
    let late = challenge(&register(&server, &body).await);
    assert_eq!(late["errcode"], "M_UNKNOWN");
    body["auth"] = json!({ "type": "m.login.dummy", "session": late["session"] });
    register(&server, &body).await.ok();
}

#[tokio::test]
async fn opens_no_session_when_told_not_to() {
    let server = TestServer::start().await;
    let mut body = with_dummy("alice");
    body["inhibit_login"] = json!(true);
    let answer = register(&server, &body).await.ok();
    assert!(answer["access_token"].is_null(), "{answer}");
    assert!(answer["device_id"].is_null(), "{answer}");
    log_in(&server, "alice", "secret").await.ok();
}

#[tokio::test]
async fn makes_up_a_name_for_who_has_none() {
    let server = TestServer::start().await;
    let body = json!({ "password": "secret", "auth": { "type": "m.login.dummy" } });
    let first = register(&server, &body).await.ok();
    let second = register(&server, &body).await.ok();
    assert_ne!(first["user_id"], second["user_id"]);
}

#[tokio::test]
async fn refuses_names_that_the_grammar_forbids() {
    let server = TestServer::start().await;
    let long = "a".repeat(256);
    for name in [
        "Alice",
        "_x",
        "älice",
        "a b",
        "@",
        "@a:other.example",
        "a@b",
        "a\u{0}",
        "a'b",
        &long,
    ] {
        let answer = register(&server, &with_dummy(name)).await;
        answer.error(400, "M_INVALID_USERNAME");
        let answer = server.get(AVAILABLE).query("username", name).send().await;
        answer.error(400, "M_INVALID_USERNAME");
    }
    for name in ["a.b", "a_b", "a=b", "a-b", "a/b", "a+b", "007"] {
        register(&server, &with_dummy(name)).await.ok();
    }
}

#[tokio::test]
async fn tells_whether_a_name_is_free() {
    let server = TestServer::start().await;
    let free = server
        .get(AVAILABLE)
        .query("username", "alice")
        .send()
        .await;
    assert_eq!(free.ok(), json!({ "available": true }));
    server.register("alice").await;
    let taken = server
        .get(AVAILABLE)
        .query("username", "alice")
        .send()
        .await;
    taken.error(400, "M_USER_IN_USE");
    let answer = register(&server, &with_dummy("alice")).await;
    answer.error(400, "M_USER_IN_USE");
    server
        .get(AVAILABLE)
        .send()
        .await
        .error(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn gives_a_name_to_one_of_many_who_want_it_at_once() {
    let server = TestServer::start().await;
    let body = with_dummy("alice");
    let answers = (0..10).map(|_| register(&server, &body));
    let answers = futures_util::future::join_all(answers).await;
    let registered = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(registered.count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.error(400, "M_USER_IN_USE");
    }
}

#[tokio::test]
async fn refuses_missing_and_weak_passwords() {
    let server = TestServer::start().await;
    let dummy = json!({ "type": "m.login.dummy" });
    let body = json!({ "username": "alice", "auth": dummy });
    let answer = register(&server, &body).await;
    answer.error(400, "M_MISSING_PARAM");
    for password in ["", &"x".repeat(513)] {
        let body = json!({ "username": "alice", "password": password, "auth": dummy });
        let answer = register(&server, &body).await;
        answer.error(400, "M_WEAK_PASSWORD");
    }
    register(&server, &with_dummy("alice")).await.ok();
}

#[tokio::test]
async fn refuses_bodies_that_are_not_a_request() {
    let server = TestServer::start().await;
    let send = |body: &'static str| server.post(REGISTER).bytes(body).send();
    send("{").await.error(400, "M_NOT_JSON");
    send("[]").await.error(400, "M_BAD_JSON");
    send(r#"{"username":1}"#).await.error(400, "M_BAD_JSON");
    send(r#"{"auth":{"type":1}}"#)
        .await
        .error(400, "M_BAD_JSON");
    let answer = register(
        &server,
        &json!({ "device_id": "x".repeat(513), "username": "a" }),
    )
    .await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn is_closed_unless_opened() {
    let server = TestServer::configure()
        .set("registration.enabled", "false")
        .start()
        .await;
    // The first administrator may still register.
    let token = server.first_admin_token.clone().unwrap();
    let asked = challenge(&register(&server, &json!({})).await);
    assert_eq!(
        asked["flows"],
        json!([{ "stages": ["m.login.registration_token"] }])
    );
    let mut body = with_dummy("root");
    body["auth"] = json!({ "type": "m.login.registration_token", "token": token });
    register(&server, &body).await.ok();
    let answer = register(&server, &with_dummy("alice")).await;
    answer.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn registers_guests_where_they_are_allowed() {
    let server = TestServer::start().await;
    let guest = |server: &TestServer| {
        let request = server.post(REGISTER).query("kind", "guest");
        request.json(&json!({})).send()
    };
    guest(&server).await.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let server = TestServer::configure()
        .set("guests.enabled", "true")
        .start()
        .await;
    let answer = guest(&server).await.ok();
    let token = answer["access_token"].as_str().unwrap();
    let who = server.get(WHOAMI).token(token).send().await.ok();
    assert_eq!(who["is_guest"], true);
    let request = server.post("/_matrix/client/v3/createRoom").token(token);
    let answer = request.json(&json!({})).send().await;
    answer.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let request = server.post(REGISTER).query("kind", "alien");
    let answer = request.json(&json!({})).send().await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn registers_users_of_application_services() {
    let server = TestServer::configure()
        .appservice("bridge", BRIDGE)
        .start()
        .await;
    let request = |name: &str| {
        let body = json!({
            "type": "m.login.application_service",
            "username": name,
            "inhibit_login": true,
        });
        server.post(REGISTER).json(&body)
    };
    let answer = request("_bridge_a").token("as-secret").send().await;
    assert_eq!(answer.ok()["user_id"], "@_bridge_a:test.example");
    let answer = request("_bridge_a").token("as-secret").send().await;
    answer.error(400, "M_USER_IN_USE");
    let answer = request("alice").token("as-secret").send().await;
    answer.error(400, "M_EXCLUSIVE");
    let answer = request("_bridge_b").send().await;
    answer.error(401, "M_MISSING_TOKEN");
    // Others can't take names that the bridge reserves.
    let answer = register(&server, &with_dummy("bridge_bot")).await;
    answer.error(400, "M_EXCLUSIVE");
}

#[tokio::test]
async fn limits_how_often_an_address_registers() {
    let server = TestServer::configure()
        .set("rate_limit.enabled", "true")
        .set("rate_limit.registration", "2 per 1m")
        .start()
        .await;
    for name in ["a", "b"] {
        register(&server, &with_dummy(name)).await.ok();
    }
    let answer = register(&server, &with_dummy("c")).await;
    let body = answer.error(429, "M_LIMIT_EXCEEDED");
    assert!(body["retry_after_ms"].as_u64().unwrap() > 0);
    assert!(answer.headers.contains_key("retry-after"));
}
