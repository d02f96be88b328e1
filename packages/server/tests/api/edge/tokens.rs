//! Access tokens, and application services that act as their users.

use serde_json::json;

use crate::support::TestServer;

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

const BRIDGE: &str = r#"
id: bridge
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: bridge_bot
namespaces:
  users: [{ exclusive: true, regex: "@bridge_.*:test\\.example" }]
  aliases: []
  rooms: []
"#;

#[tokio::test]
async fn needs_a_token() {
    let server = TestServer::start().await;
    server
        .get(WHOAMI)
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
    for header in ["Bearer ", "Bearer    ", "Bearer", "Basic abc", ""] {
        let answer = server
            .get(WHOAMI)
            .header("authorization", header)
            .send()
            .await;
        answer.error(401, "M_MISSING_TOKEN");
    }
    let answer = server.get(WHOAMI).query("access_token", "").send().await;
    answer.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn refuses_tokens_that_are_nobodys() {
    let server = TestServer::start().await;
    for token in ["null", "undefined", "x", "' OR 1=1 --"] {
        let body = server
            .get(WHOAMI)
            .token(token)
            .send()
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        assert_ne!(body["soft_logout"], true);
    }
}

#[tokio::test]
async fn takes_a_token_from_header_or_query() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = alice.get(WHOAMI).send().await.ok();
    assert_eq!(body["user_id"], alice.id);
    let body = server
        .get(WHOAMI)
        .query("access_token", &alice.token)
        .send()
        .await
        .ok();
    assert_eq!(body["device_id"], alice.device_id);
    // The header wins.
    let answer = alice.get(WHOAMI).query("access_token", "x").send().await;
    answer.ok();
}

#[tokio::test]
async fn a_token_ends_with_its_session() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.get(WHOAMI).send().await.ok();
    alice.post("/_matrix/client/v3/logout").send().await.ok();
    alice.get(WHOAMI).send().await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn an_appservice_acts_as_its_users_only() {
    let server = TestServer::configure()
        .appservice("bridge", BRIDGE)
        .start()
        .await;
    server.register("alice").await;
    let whoami = |user: Option<&str>| {
        let request = server.get(WHOAMI).token("as-secret");
        match user {
            Some(user) => request.query("user_id", user),
            None => request,
        }
        .send()
    };
    let body = whoami(None).await.ok();
    assert_eq!(body["user_id"], "@bridge_bot:test.example");
    // Nobody registered this one yet.
    let user = "@bridge_user:test.example";
    whoami(Some(user)).await.error(403, "M_FORBIDDEN");
    let body = json!({ "type": "m.login.application_service", "username": "bridge_user" });
    let register = server
        .post("/_matrix/client/v3/register")
        .token("as-secret");
    let device = register.json(&body).send().await.ok()["device_id"].clone();
    assert_eq!(whoami(Some(user)).await.ok()["user_id"], user);

    for outsider in [
        "@alice:test.example",
        "@bridge_user:elsewhere.example",
        "bridge_user",
        "",
    ] {
        whoami(Some(outsider)).await.error(403, "M_FORBIDDEN");
    }

    let as_device = |device: &str| {
        let request = server.get(WHOAMI).token("as-secret").query("user_id", user);
        request.query("device_id", device).send()
    };
    as_device("FOREIGN").await.error(400, "M_UNKNOWN_DEVICE");
    let device = device.as_str().unwrap();
    assert_eq!(as_device(device).await.ok()["device_id"], device);
}

#[tokio::test]
async fn an_appservice_acts_as_nobody_who_is_closed_out() {
    let server = TestServer::configure()
        .appservice("bridge", BRIDGE)
        .start()
        .await;
    let body = json!({ "type": "m.login.application_service", "username": "bridge_user" });
    let register = server
        .post("/_matrix/client/v3/register")
        .token("as-secret");
    register.json(&body).send().await.ok();
    let user = ruma::UserId::parse("@bridge_user:test.example").unwrap();
    let whoami = || {
        let request = server.get(WHOAMI).token("as-secret");
        request.query("user_id", user.as_str()).send()
    };
    let users = &server.app.users;
    users.set_locked(&user, true).await.unwrap();
    whoami().await.error(401, "M_USER_LOCKED");
    users.set_locked(&user, false).await.unwrap();
    whoami().await.ok();
    users.deactivate(&user, false).await.unwrap();
    whoami().await.error(403, "M_USER_DEACTIVATED");
    let login = json!({
        "type": "m.login.application_service",
        "identifier": { "type": "m.id.user", "user": user },
    });
    let login = server.post("/_matrix/client/v3/login").json(&login);
    let answer = login.token("as-secret").send().await;
    answer.error(403, "M_USER_DEACTIVATED");
}
