//! Rate limits, where requests meet them.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, TestServer, TestUser, encode};

fn configure(key: &str, rate: &str) -> crate::support::ServerBuilder {
    TestServer::configure()
        .set("rate_limit.enabled", "true")
        .set(&format!("rate_limit.{key}"), rate)
}

/// How long the answer says to wait, which both places must say alike.
fn wait(answer: &Answer) -> Duration {
    let body = answer.error(429, "M_LIMIT_EXCEEDED");
    let ms = body["retry_after_ms"].as_u64().unwrap();
    let seconds: u64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(seconds, ms.div_ceil(1000));
    Duration::from_millis(ms)
}

#[tokio::test]
async fn a_user_who_sends_too_much_waits_and_nobody_else() {
    let server = configure("send", "3 per 30s").start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    for number in 0..3 {
        alice.say(&room, &number.to_string()).await;
    }
    let path = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/more",
        crate::support::encode(&room)
    );
    let send = || alice.put(&path).json(&json!({ "body": "more" })).send();
    let wait = wait(&send().await);
    bob.say(&room, "fine").await;
    server.clock.advance(wait);
    send().await.ok();
}

#[tokio::test]
async fn failed_logins_lock_neither_neighbors_nor_the_right_password_for_ever() {
    let server = configure("login", "5 per 1m").start().await;
    server.register("alice").await;
    server.register("bob").await;
    let login = |name: &str, password: &str| {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": name },
            "password": password,
        });
        server.post("/_matrix/client/v3/login").json(&body).send()
    };
    let mut last = login("alice", "wrong").await;
    let mut tries = 1;
    while last.status == 403 && tries < 100 {
        last = login("alice", "wrong").await;
        tries += 1;
    }
    let wait = wait(&last);
    assert!((5..20).contains(&tries), "{tries}");
    login("bob", TestUser::PASSWORD).await.ok();
    server.clock.advance(wait);
    login("alice", TestUser::PASSWORD).await.ok();
}

#[tokio::test]
async fn an_exempt_appservice_is_not_limited() {
    const BRIDGE: &str = r#"
        id: bridge
        url: null
        as_token: as-secret
        hs_token: hs-secret
        sender_localpart: bridge_bot
        rate_limited: false
        namespaces: { users: [{ exclusive: true, regex: "@bridge_.*" }] }
    "#;
    let server = configure("send", "1 per 1h")
        .appservice("bridge", BRIDGE)
        .start()
        .await;
    let post = |path: &str| {
        server
            .post(path)
            .token("as-secret")
            .query("user_id", "@bridge_a:test.example")
    };
    let body = json!({ "type": "m.login.application_service", "username": "bridge_a" });
    let path = "/_matrix/client/v3/register";
    server
        .post(path)
        .token("as-secret")
        .json(&body)
        .send()
        .await
        .ok();
    let room = post("/_matrix/client/v3/createRoom")
        .json(&json!({}))
        .send()
        .await
        .ok();
    let room = crate::support::encode(room["room_id"].as_str().unwrap());
    for number in 0..5 {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}");
        let request = server.put(&path).token("as-secret");
        let request = request.query("user_id", "@bridge_a:test.example");
        request.json(&json!({ "body": "hi" })).send().await.ok();
    }
}

#[tokio::test]
async fn a_long_poll_may_take_longer_than_other_requests() {
    let builder = TestServer::configure();
    let server = builder.set("http.request_timeout", "1s").start().await;
    let alice = server.register("alice").await;
    let sync = alice.sync(None).await;
    let poll = alice
        .get("/_matrix/client/v3/sync")
        .query("since", sync["next_batch"].as_str().unwrap())
        .query("timeout", "1500");
    poll.send().await.ok();
}

#[tokio::test]
async fn nobody_waits_for_a_log_writer_that_broke_down() {
    let builder = TestServer::configure();
    let server = builder.set("http.request_timeout", "30s").start().await;
    let alice = server.register("alice").await;
    server.app.store.on_committed(|_| panic!("on purpose"));
    let path = format!(
        "/_matrix/client/v3/user/{}/account_data/org.example",
        encode(&alice.id)
    );
    for _ in 0..2 {
        let put = alice.put(&path);
        let put = put.json(&json!({})).send();
        let answer = tokio::time::timeout(Duration::from_secs(10), put).await;
        assert_eq!(answer.unwrap().status, 503);
    }
}

#[tokio::test]
async fn every_kind_of_act_has_its_limit() {
    let server = TestServer::configure()
        .set("rate_limit.enabled", "true")
        .set("rate_limit.create_room", "3 per 1h")
        .set("rate_limit.join", "3 per 1h")
        .set("rate_limit.invite", "3 per 1h")
        .start()
        .await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({ "preset": "public_chat" });
    let room = alice.create_room(body.clone()).await;
    let room = encode(&room);
    let join = format!("/_matrix/client/v3/rooms/{room}/join");
    let leave = format!("/_matrix/client/v3/rooms/{room}/leave");
    let invite = format!("/_matrix/client/v3/rooms/{room}/invite");
    for _ in 0..3 {
        let body = json!({ "user_id": bob.id });
        alice.post(&invite).json(&body).send().await.ok();
        bob.post(&join).send().await.ok();
        bob.post(&leave).send().await.ok();
    }
    let create = "/_matrix/client/v3/createRoom";
    for _ in 0..2 {
        alice.post(create).json(&body).send().await.ok();
    }
    let answer = alice.post(&invite).json(&json!({ "user_id": bob.id }));
    wait(&answer.send().await);
    wait(&alice.post(create).json(&body).send().await);
    wait(&bob.post(&join).send().await);
    // Knocks count as joins, by alias too; a room that is created invites no more than others.
    let knock = format!("/_matrix/client/v3/knock/{room}");
    wait(&bob.post(&knock).send().await);
    let crowd: Vec<_> = (0..4).map(|nth| format!("@u{nth}:test.example")).collect();
    let answer = bob.post(create).json(&json!({ "invite": crowd }));
    wait(&answer.send().await);
}

#[tokio::test]
async fn whoever_knows_the_password_logs_in_so_often_and_no_more() {
    let server = configure("login", "3 per 1h").start().await;
    let alice = server.register("alice").await;
    let login = || {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": alice.id },
            "password": TestUser::PASSWORD,
        });
        server.post("/_matrix/client/v3/login").json(&body).send()
    };
    for _ in 0..3 {
        login().await.ok();
    }
    let wait = wait(&login().await);
    server.clock.advance(wait);
    login().await.ok();
}
