//! `/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device[/{device_id}/events]`

use serde_json::{Value, json};

use crate::support::{Answer, DeviceIdentity, TestServer, TestUser, encode};

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

fn events_path(device: &str) -> String {
    format!("{PATH}/{}/events", encode(device))
}

/// What a client uploads for a device of this name.
fn dehydrated(user: &TestUser, device: &str) -> Value {
    let identity = DeviceIdentity::named(&user.id, device);
    json!({
        "device_id": device,
        "initial_device_display_name": "Dehydrated",
        "device_data": { "algorithm": "org.matrix.msc3814.v1.olm", "device_pickle": "abc" },
        "device_keys": identity.device_keys(),
        "one_time_keys": identity.one_time_keys(0..2),
        "fallback_keys": identity.fallback_key(0),
    })
}

async fn put(user: &TestUser, body: &Value) -> Answer {
    user.put(PATH).json(body).send().await
}

async fn send(from: &TestUser, to: &TestUser, device: &str, number: u32) {
    let path = format!("/_matrix/client/v3/sendToDevice/m.test/{device}{number}");
    let content = json!({ "number": number });
    let body = json!({ "messages": { (to.id.clone()): { (device): content } } });
    from.put(&path).json(&body).send().await.ok();
}

/// The numbers of the next messages, and the token for more.
async fn next(user: &TestUser, device: &str, since: Option<&Value>) -> (Vec<u64>, Value) {
    let body = since.map_or(json!({}), |since| json!({ "next_batch": since }));
    let answer = user
        .post(&events_path(device))
        .json(&body)
        .send()
        .await
        .ok();
    let events = answer["events"].as_array().unwrap();
    let numbers = events.iter().map(|event| {
        assert_eq!(event["type"], "m.test");
        event["content"]["number"].as_u64().unwrap()
    });
    (numbers.collect(), answer["next_batch"].clone())
}

/// The devices of a user, as others see them.
async fn published(asker: &TestUser, user: &TestUser) -> Vec<String> {
    let body = json!({ "device_keys": { (user.id.clone()): [] } });
    let answer = asker.post("/_matrix/client/v3/keys/query").json(&body);
    let answer = answer.send().await.ok();
    let devices = answer["device_keys"][&user.id].as_object().cloned();
    devices.unwrap_or_default().keys().cloned().collect()
}

#[tokio::test]
async fn shows_what_was_put_there_and_publishes_its_keys() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.get(PATH).send().await.error(404, "M_NOT_FOUND");
    let body = dehydrated(&alice, "SLEEPER");
    let answer = put(&alice, &body).await.ok();
    assert_eq!(answer, json!({ "device_id": "SLEEPER" }));
    let shown = alice.get(PATH).send().await.ok();
    assert_eq!(
        shown,
        json!({ "device_id": "SLEEPER", "device_data": body["device_data"] })
    );
    bob.get(PATH).send().await.error(404, "M_NOT_FOUND");
    assert_eq!(published(&bob, &alice).await, ["SLEEPER"]);
    let devices = alice.get("/_matrix/client/v3/devices").send().await.ok();
    let devices = devices["devices"].as_array().unwrap().clone();
    let names: Vec<_> = devices
        .iter()
        .map(|device| &device["display_name"])
        .collect();
    assert!(names.contains(&&json!("Dehydrated")), "{devices:?}");

    let claim =
        json!({ "one_time_keys": { (alice.id.clone()): { "SLEEPER": "signed_curve25519" } } });
    let mut claimed = Vec::new();
    for _ in 0..3 {
        let answer = bob.post("/_matrix/client/v3/keys/claim").json(&claim);
        let answer = answer.send().await.ok();
        let keys = answer["one_time_keys"][&alice.id]["SLEEPER"].as_object();
        claimed.extend(keys.unwrap().keys().cloned());
    }
    let names = ["000000", "000001", "F00000"].map(|id| format!("signed_curve25519:{id}"));
    assert_eq!(claimed, names);
}

#[tokio::test]
async fn a_new_one_takes_the_place_of_the_last_one() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    put(&alice, &dehydrated(&alice, "FIRST")).await.ok();
    send(&bob, &alice, "FIRST", 1).await;
    let since = alice.sync(None).await["next_batch"].clone();
    put(&alice, &dehydrated(&alice, "SECOND")).await.ok();
    assert_eq!(published(&bob, &alice).await, ["SECOND"]);
    assert_eq!(alice.get(PATH).send().await.ok()["device_id"], "SECOND");
    let sync = alice.sync(since.as_str()).await;
    assert_eq!(sync["device_lists"]["changed"], json!([alice.id]), "{sync}");
    let answer = alice
        .post(&events_path("FIRST"))
        .json(&json!({}))
        .send()
        .await;
    answer.error(404, "M_NOT_FOUND");
    assert_eq!(next(&alice, "SECOND", None).await.0, [0; 0]);
}

#[tokio::test]
async fn what_is_not_acceptable_leaves_the_last_one_in_its_place() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    put(&alice, &dehydrated(&alice, "FIRST")).await.ok();
    let good = dehydrated(&alice, "SECOND");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let large = "x".repeat(65_536);
    let large = json!({ "algorithm": "org.matrix.msc3814.v1.olm", "device_pickle": large });
    let of_another = DeviceIdentity::named(&alice.id, "THIRD").device_keys();
    let mut forged = good["device_keys"].clone();
    forged["algorithms"] = json!(["m.other"]);
    for (body, status, errcode) in [
        (
            with("device_data", json!({ "algorithm": "m.other" })),
            400,
            "M_BAD_JSON",
        ),
        (with("device_data", large), 413, "M_TOO_LARGE"),
        (with("device_keys", of_another), 400, "M_INVALID_PARAM"),
        (
            with("initial_device_display_name", json!("x".repeat(101))),
            413,
            "M_TOO_LARGE",
        ),
    ] {
        put(&alice, &body).await.error(status, errcode);
    }
    assert_eq!(put(&alice, &with("device_keys", forged)).await.status, 400);
    // Nor can a device that is logged in become one.
    let own = dehydrated(&alice, &alice.device_id);
    put(&alice, &own).await.error(400, "M_INVALID_PARAM");
    assert_eq!(alice.get(PATH).send().await.ok()["device_id"], "FIRST");
    assert_eq!(published(&alice, &alice).await, ["FIRST"]);
}

#[tokio::test]
async fn keeps_messages_until_the_client_shows_that_it_has_them() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    put(&alice, &dehydrated(&alice, "SLEEPER")).await.ok();
    for number in 0..230 {
        send(&bob, &alice, "SLEEPER", number).await;
    }
    let (first, token) = next(&alice, "SLEEPER", None).await;
    assert_eq!(first, (0..100).collect::<Vec<_>>());
    assert_eq!(next(&alice, "SLEEPER", None).await.0, first);
    let (second, later) = next(&alice, "SLEEPER", Some(&token)).await;
    assert_eq!(second, (100..200).collect::<Vec<_>>());
    assert_eq!(next(&alice, "SLEEPER", Some(&token)).await.0, second);
    send(&bob, &alice, "SLEEPER", 230).await;
    let (third, last) = next(&alice, "SLEEPER", Some(&later)).await;
    assert_eq!(third, (200..231).collect::<Vec<_>>());
    let (none, end) = next(&alice, "SLEEPER", Some(&last)).await;
    assert_eq!((none, &end), (vec![], &last));
    assert_eq!(next(&alice, "SLEEPER", None).await.0, [0; 0]);
}

#[tokio::test]
async fn only_its_user_reads_it() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    put(&alice, &dehydrated(&alice, "SLEEPER")).await.ok();
    send(&bob, &alice, "SLEEPER", 1).await;
    let path = events_path("SLEEPER");
    let answer = bob.post(&path).json(&json!({})).send().await;
    answer.error(404, "M_NOT_FOUND");
    let answer = server.post(&path).json(&json!({})).send().await;
    answer.error(401, "M_MISSING_TOKEN");
    let answer = alice.post(&events_path(&alice.device_id)).json(&json!({}));
    answer.send().await.error(404, "M_NOT_FOUND");
    let answer = alice.post(&path).json(&json!({ "next_batch": "garbage" }));
    answer.send().await.error(400, "M_INVALID_PARAM");
    assert_eq!(next(&alice, "SLEEPER", None).await.0, [1]);
}

#[tokio::test]
async fn goes_when_its_user_removes_it_in_any_way() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    put(&alice, &dehydrated(&alice, "FIRST")).await.ok();
    let answer = alice.delete(PATH).send().await.ok();
    assert_eq!(answer, json!({ "device_id": "FIRST" }));
    alice.get(PATH).send().await.error(404, "M_NOT_FOUND");
    alice.delete(PATH).send().await.error(404, "M_NOT_FOUND");
    assert_eq!(published(&alice, &alice).await, [""; 0]);

    put(&alice, &dehydrated(&alice, "SECOND")).await.ok();
    let id = ruma::UserId::parse(&alice.id).unwrap();
    let removed = ["SECOND".into()];
    let removal = server.app.users.delete_devices(&id, &removed);
    removal.await.unwrap();
    alice.get(PATH).send().await.error(404, "M_NOT_FOUND");
    // The same name may be used again.
    put(&alice, &dehydrated(&alice, "SECOND")).await.ok();
    assert_eq!(published(&alice, &alice).await, ["SECOND"]);
}

#[tokio::test]
async fn is_announced() {
    let server = TestServer::start().await;
    let versions = server.get("/_matrix/client/versions").send().await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc3814"], true);
}
