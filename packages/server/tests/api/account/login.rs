//! `GET` and `POST /_matrix/client/v3/login`

use std::time::Duration;

use ruma::UserId;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::log_in;
use crate::support::{Answer, TestServer, TestUser};

const LOGIN: &str = "/_matrix/client/v3/login";

async fn post(server: &TestServer, body: &Value) -> Answer {
    server.post(LOGIN).json(body).send().await
}

#[tokio::test]
async fn names_the_kinds_of_login() {
    let server = TestServer::start().await;
    let flows = server.get(LOGIN).send().await.ok();
    let types: Vec<_> = flows["flows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| flow["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["m.login.password", "m.login.application_service"]);
}

#[tokio::test]
async fn takes_a_name_in_every_form() {
    let server = TestServer::start().await;
    server.register("alice").await;
    for name in [
        "alice",
        "@alice:test.example",
        "Alice",
        "@ALICE:test.example",
    ] {
        let answer = log_in(&server, name, TestUser::PASSWORD).await.ok();
        assert_eq!(answer["user_id"], "@alice:test.example");
    }
    let old = json!({
        "type": "m.login.password",
        "user": "alice",
        "password": TestUser::PASSWORD,
    });
    post(&server, &old).await.ok();
}

#[tokio::test]
async fn answers_every_wrong_login_the_same() {
    let server = TestServer::start().await;
    server.register("alice").await;
    let wrong = log_in(&server, "alice", "wrong").await;
    let body = wrong.error(403, "M_FORBIDDEN");
    for (name, password) in [
        ("nobody", "wrong"),
        ("alice", ""),
        ("@alice:other.example", TestUser::PASSWORD),
        ("a b", TestUser::PASSWORD),
        ("", TestUser::PASSWORD),
        ("alice' OR '1'='1", "x"),
    ] {
        let answer = log_in(&server, name, password).await;
        assert_eq!(answer.error(403, "M_FORBIDDEN"), body, "{name}");
    }
    let email = json!({
        "type": "m.login.password",
        "identifier": {
            "type": "m.id.thirdparty",
            "medium": "email",
            "address": "alice@example.org",
        },
        "password": TestUser::PASSWORD,
    });
    let answer = post(&server, &email).await;
    assert_eq!(answer.error(403, "M_FORBIDDEN"), body);
}

/// How long a wrong login takes, in the middle of many.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_wrong_login_takes_as_long_for_an_account_as_for_none() {
    let builder = TestServer::configure().set("password.argon2.memory", "4 MiB");
    let server = builder.start().await;
    server.register("alice").await;
    let time = async |name: &str| {
        let began = Instant::now();
        let answer = log_in(&server, name, "wrong").await;
        answer.error(403, "M_FORBIDDEN");
        began.elapsed()
    };
    // A busy machine spoils a round, but not all of them; a shortcut would show in each.
    for _ in 0..20 {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..15 {
            known.push(time("alice").await);
            unknown.push(time("nobody").await);
        }
        let (known, unknown) = (median(known), median(unknown));
        if known.abs_diff(unknown) <= known.max(unknown) / 10 {
            return;
        }
    }
    panic!("the time tells whether there is an account");
}

#[tokio::test]
async fn refuses_what_is_no_login() {
    let server = TestServer::start().await;
    post(&server, &json!({}))
        .await
        .error(400, "M_MISSING_PARAM");
    // No body counts as an empty object.
    let answer = server.post(LOGIN).bytes("").send().await;
    answer.error(400, "M_MISSING_PARAM");
    let answer = server.post(LOGIN).bytes("{").send().await;
    answer.error(400, "M_NOT_JSON");
    post(&server, &json!({ "type": 1 }))
        .await
        .error(400, "M_BAD_JSON");
    let unknown = json!({ "type": "m.login.magic" });
    post(&server, &unknown).await.error(400, "M_UNKNOWN");
    let token = json!({ "type": "m.login.token", "token": "x" });
    post(&server, &token).await.error(400, "M_UNKNOWN");
    let nameless = json!({ "type": "m.login.password", "password": "x" });
    post(&server, &nameless).await.error(400, "M_MISSING_PARAM");
    let odd = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.tattoo" },
        "password": "x",
    });
    post(&server, &odd).await.error(400, "M_UNKNOWN");
}

#[tokio::test]
async fn a_login_on_a_known_device_replaces_its_tokens_and_keeps_its_name() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let devices = format!("/_matrix/client/v3/devices/{}", alice.device_id);
    let name = json!({ "display_name": "Phone" });
    alice.put(&devices).json(&name).send().await.ok();
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": TestUser::PASSWORD,
        "device_id": alice.device_id,
        "initial_device_display_name": "Other name",
    });
    let again = TestUser::new(server.router.clone(), &post(&server, &body).await.ok());
    assert_eq!(again.device_id, alice.device_id);
    alice
        .get(&devices)
        .send()
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let device = again.get(&devices).send().await.ok();
    assert_eq!(device["display_name"], "Phone");
}

#[tokio::test]
async fn keeps_locked_accounts_out_for_a_while() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let user = UserId::parse(&alice.id).unwrap();
    server.app.users.set_locked(&user, true).await.unwrap();
    let whoami = "/_matrix/client/v3/account/whoami";
    let body = alice.get(whoami).send().await.error(401, "M_USER_LOCKED");
    assert_eq!(body["soft_logout"], true);
    let answer = log_in(&server, "alice", TestUser::PASSWORD).await;
    answer.error(401, "M_USER_LOCKED");
    server.app.users.set_locked(&user, false).await.unwrap();
    alice.get(whoami).send().await.ok();
}

#[tokio::test]
async fn limits_failed_logins_to_an_account_and_spares_others() {
    let server = TestServer::configure()
        .set("rate_limit.enabled", "true")
        .set("rate_limit.login", "5 per 1m")
        .start()
        .await;
    server.register("alice").await;
    server.register("bob").await;
    for _ in 0..5 {
        log_in(&server, "alice", "wrong")
            .await
            .error(403, "M_FORBIDDEN");
    }
    log_in(&server, "alice", TestUser::PASSWORD)
        .await
        .error(429, "M_LIMIT_EXCEEDED");
    log_in(&server, "bob", TestUser::PASSWORD).await.ok();
}

#[tokio::test]
async fn logs_users_of_application_services_in() {
    let server = TestServer::configure()
        .appservice(
            "bridge",
            r#"
id: bridge
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: bridge_bot
namespaces:
  users: [{ exclusive: true, regex: "@_bridge_.*:test\\.example" }]
  aliases: []
  rooms: []
"#,
        )
        .start()
        .await;
    server.register("alice").await;
    let register = json!({
        "type": "m.login.application_service",
        "username": "_bridge_a",
        "inhibit_login": true,
    });
    let request = server.post("/_matrix/client/v3/register").json(&register);
    request.token("as-secret").send().await.ok();
    let body = |user: &str| {
        json!({
            "type": "m.login.application_service",
            "identifier": { "type": "m.id.user", "user": user },
        })
    };
    let login = |user: &str| server.post(LOGIN).json(&body(user));
    let answer = login("_bridge_a").token("as-secret").send().await.ok();
    let session = TestUser::new(server.router.clone(), &answer);
    let who = session
        .get("/_matrix/client/v3/account/whoami")
        .send()
        .await;
    assert_eq!(who.ok()["user_id"], "@_bridge_a:test.example");
    let answer = login("alice").token("as-secret").send().await;
    answer.error(403, "M_FORBIDDEN");
    login("_bridge_a")
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
}
