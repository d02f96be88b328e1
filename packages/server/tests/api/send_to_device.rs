//! `PUT /sendToDevice`, and what `/sync` makes of it.

use matryx_entity::{log::LogEntry, position::Position, to_device::ToDeviceMessage};
use matryx_server::to_device::{MAX_CONTENT, MAX_KIND, MAX_MESSAGES};
use matryx_surrealdb::{KeyRange, Plan};
use serde_json::{Map, Value, json};

use crate::support::{Answer, TestServer, TestUser, encode};

pub(crate) const KIND: &str = "m.room.encrypted";

pub(crate) async fn try_send(user: &TestUser, kind: &str, txn: &str, messages: &Value) -> Answer {
    let path = format!("/_matrix/client/v3/sendToDevice/{}/{txn}", encode(kind));
    let body = json!({ "messages": messages });
    user.put(&path).json(&body).send().await
}

pub(crate) async fn send(user: &TestUser, txn: &str, messages: Value) {
    let answer = try_send(user, KIND, txn, &messages).await;
    assert_eq!(answer.ok(), json!({}));
}

/// The `text` of the messages in a response of `/sync`.
pub(crate) fn texts(sync: &Value) -> Vec<String> {
    let events = sync["to_device"]["events"].as_array();
    let texts = events
        .into_iter()
        .flatten()
        .map(|event| &event["content"]["text"]);
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn text(text: &str) -> Value {
    json!({ "text": text })
}

pub(crate) fn token(sync: &Value) -> &str {
    sync["next_batch"].as_str().unwrap()
}

async fn stored(server: &TestServer) -> usize {
    let rows = server.app.store.range::<ToDeviceMessage>(KeyRange::all());
    rows.await.unwrap().len()
}

/// Another device of a user.
pub(crate) async fn log_in(server: &TestServer, user: &TestUser) -> TestUser {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.id },
        "password": TestUser::PASSWORD,
    });
    let answer = server.post("/_matrix/client/v3/login").json(&body).send();
    TestUser::new(server.router.clone(), &answer.await.ok())
}

#[tokio::test]
async fn messages_reach_the_devices_that_they_are_for() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let phone = log_in(&server, &bob).await;
    let (first, of_phone) = (bob.sync(None).await, phone.sync(None).await);
    let messages = json!({
        (bob.id.as_str()): { (bob.device_id.as_str()): text("one") },
        (alice.id.as_str()): { (alice.device_id.as_str()): text("self") },
    });
    send(&alice, "1", messages).await;
    let second = bob.sync(Some(token(&first))).await;
    assert_eq!(
        second["to_device"]["events"],
        json!([{ "type": KIND, "sender": alice.id, "content": text("one") }])
    );
    assert!(
        phone
            .sync(Some(token(&of_phone)))
            .await
            .get("to_device")
            .is_none()
    );
    assert_eq!(texts(&alice.sync(None).await), ["self"]);

    // To all of them, but one gets a message of its own.
    let messages = json!({ (bob.id.as_str()): {
        "*": text("all"), (phone.device_id.as_str()): text("phone"),
    }});
    send(&alice, "2", messages).await;
    assert_eq!(texts(&bob.sync(Some(token(&second))).await), ["all"]);
    assert_eq!(texts(&phone.sync(Some(token(&of_phone))).await), ["phone"]);
}

#[tokio::test]
async fn who_does_not_exist_gets_no_row_and_nobody_is_told() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let closed = server.register("closed").await;
    let out = log_in(&server, &bob).await;
    out.post("/_matrix/client/v3/logout").send().await.ok();
    let close = closed.post("/_matrix/client/v3/account/deactivate");
    let auth = json!({ "auth": {
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": closed.id },
        "password": TestUser::PASSWORD,
    }});
    close.json(&auth).send().await.ok();
    let messages = json!({
        "@nobody:test.example": { "*": text("x"), "D": text("x") },
        (closed.id.as_str()): { "*": text("x"), (closed.device_id.as_str()): text("x") },
        (bob.id.as_str()): { "NOWHERE": text("x"), (out.device_id.as_str()): text("x") },
    });
    send(&alice, "1", messages).await;
    assert_eq!(stored(&server).await, 0);
}

#[tokio::test]
async fn a_transaction_is_carried_out_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let other = log_in(&server, &alice).await;
    let to = |what: &str| json!({ (bob.id.as_str()): { (bob.device_id.as_str()): text(what) } });
    let (one, two) = (to("1"), to("1"));
    tokio::join!(send(&alice, "t", one), send(&alice, "t", two));
    send(&alice, "t", to("2")).await;
    assert_eq!(stored(&server).await, 1);
    // Ids are those of a device and of an endpoint.
    send(&other, "t", to("3")).await;
    let answer = try_send(&alice, "m.other", "t", &to("4")).await;
    answer.ok();
    assert_eq!(texts(&bob.sync(None).await), ["1", "3", "4"]);
    let entries = server.app.store.log_range(server.app.store.node(), 1, 1000);
    let entries = entries.await.unwrap();
    let carried_out = entries
        .iter()
        .filter(|(_, entry)| matches!(entry, LogEntry::SentToDevice { .. }));
    assert_eq!(carried_out.count(), 3);
}

#[tokio::test]
async fn a_device_that_was_away_gets_everything_in_order() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let phone = log_in(&server, &bob).await;
    let (first, of_phone) = (bob.sync(None).await, phone.sync(None).await);
    for nth in 0..250 {
        let nth = nth.to_string();
        send(
            &alice,
            &nth,
            json!({ (bob.id.as_str()): { "*": text(&nth) } }),
        )
        .await;
    }
    assert_eq!(stored(&server).await, 500);
    let wanted: Vec<String> = (0..250).map(|nth| nth.to_string()).collect();
    for (device, first) in [(&bob, first), (&phone, of_phone)] {
        let mut all = Vec::new();
        let mut since = token(&first).to_owned();
        for count in [100, 100, 50] {
            let sync = device.sync(Some(&since)).await;
            assert_eq!(texts(&sync).len(), count);
            assert_eq!(texts(&device.sync(Some(&since)).await), texts(&sync));
            all.extend(texts(&sync));
            since = token(&sync).to_owned();
        }
        assert_eq!(all, wanted);
        assert!(device.sync(Some(&since)).await.get("to_device").is_none());
        // An old token brings back nothing that was acknowledged.
        let again = device.sync(Some(token(&first))).await;
        assert!(again.get("to_device").is_none(), "{again}");
    }
    assert_eq!(stored(&server).await, 0);
}

#[tokio::test]
async fn a_waiting_sync_is_answered_by_a_message() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let first = bob.sync(None).await;
    let waiting = bob
        .get("/_matrix/client/v3/sync")
        .query("since", token(&first))
        .query("timeout", "60000")
        .send();
    let message = json!({ (bob.id.as_str()): { (bob.device_id.as_str()): text("x") } });
    let (answer, ()) = tokio::join!(waiting, send(&alice, "1", message));
    assert_eq!(texts(&answer.ok()), ["x"]);
}

#[tokio::test]
async fn what_is_too_much_or_has_the_wrong_form_is_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let to = |content: &Value| json!({ (bob.id.as_str()): { (bob.device_id.as_str()): content } });
    let of_size = |bytes: usize| json!({ "x": "x".repeat(bytes - r#"{"x":""}"#.len()) });
    send(&alice, "0", to(&of_size(MAX_CONTENT))).await;
    let answer = try_send(&alice, KIND, "1", &to(&of_size(MAX_CONTENT + 1))).await;
    answer.error(413, "M_TOO_LARGE");
    let answer = try_send(&alice, &"x".repeat(MAX_KIND + 1), "2", &to(&json!({}))).await;
    answer.error(400, "M_INVALID_PARAM");
    for content in [json!("text"), json!(null), json!([{}]), json!(7)] {
        let answer = try_send(&alice, KIND, "3", &to(&content)).await;
        answer.error(400, "M_BAD_JSON");
    }
    for messages in [
        json!([]),
        json!({ "no user": { "D": {} } }),
        json!({ (bob.id.as_str()): [] }),
        json!({ (bob.id.as_str()): { "": {} } }),
    ] {
        let answer = try_send(&alice, KIND, "4", &messages).await;
        answer.error(400, "M_BAD_JSON");
    }
    let many = |count: usize| -> Value {
        let devices = (0..count).map(|nth| (format!("D{nth}"), json!({})));
        json!({ (bob.id.as_str()): Value::Object(devices.collect::<Map<_, _>>()) })
    };
    let answer = try_send(&alice, KIND, "5", &many(MAX_MESSAGES + 1)).await;
    answer.error(413, "M_TOO_LARGE");
    send(&alice, "6", many(MAX_MESSAGES)).await;
    assert_eq!(stored(&server).await, 1);
    let path = "/_matrix/client/v3/sendToDevice/m.test/1";
    server
        .put(path)
        .json(&json!({ "messages": {} }))
        .send()
        .await
        .error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn every_response_says_what_keys_are_left() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let first = alice.sync(None).await;
    let second = alice.sync(Some(token(&first))).await;
    for sync in [first, second] {
        assert_eq!(
            sync["device_one_time_keys_count"],
            json!({ "signed_curve25519": 0 })
        );
        assert_eq!(sync["device_unused_fallback_key_types"], json!([]));
    }
}

/// Writes a message as a request does that finds a device which is then removed.
async fn deliver(server: &TestServer, user: &TestUser, device: &str) {
    let (user, device_id): (ruma::OwnedUserId, ruma::OwnedDeviceId) =
        (user.id.as_str().try_into().unwrap(), device.into());
    let mut plan = Plan::new();
    let at = plan.log(LogEntry::ToDevice {
        user: user.clone(),
        devices: vec![device_id.clone()],
    });
    let message = ToDeviceMessage {
        user: user.clone(),
        device_id,
        at: Position::default(),
        sender: user,
        kind: KIND.to_owned(),
        content: text("late").to_string(),
    };
    plan.create_at(&message, at);
    server.app.store.commit(plan).await.unwrap();
}

#[tokio::test]
async fn what_came_too_late_for_a_device_reaches_no_other() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    send(
        &alice,
        "one",
        json!({ (alice.id.as_str()): { "*": text("mine") } }),
    )
    .await;
    deliver(&server, &alice, "GONE").await;
    deliver(&server, &alice, "AGAIN").await;
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.id },
        "password": TestUser::PASSWORD,
        "device_id": "AGAIN",
    });
    let answer = server.post("/_matrix/client/v3/login").json(&body).send();
    let again = TestUser::new(server.router.clone(), &answer.await.ok());
    assert_eq!(texts(&again.sync(None).await), [""; 0]);
    assert_eq!(stored(&server).await, 2);
    // What is for nobody goes by itself.
    server.app.to_device.forget_old().await.unwrap();
    assert_eq!(stored(&server).await, 1);
    assert_eq!(texts(&alice.sync(None).await), ["mine"]);
}
