//! `/_matrix/client/v3/devices` and `POST …/delete_devices`

use serde_json::{Value, json};

use super::{another_session, challenge, password_stage};
use crate::support::{TestServer, TestUser, encode};

const DEVICES: &str = "/_matrix/client/v3/devices";
const DELETE_DEVICES: &str = "/_matrix/client/v3/delete_devices";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn list(user: &TestUser) -> Vec<String> {
    let body = user.get(DEVICES).send().await.ok();
    let devices = body["devices"].as_array().unwrap();
    devices
        .iter()
        .map(|device| device["device_id"].as_str().unwrap().to_owned())
        .collect()
}

fn path(device: &str) -> String {
    format!("{DEVICES}/{}", encode(device))
}

#[tokio::test]
async fn lists_the_callers_devices_and_no_others() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    let mut expected = vec![phone.device_id.clone(), laptop.device_id.clone()];
    expected.sort();
    assert_eq!(list(&phone).await, expected);
    assert_eq!(list(&bob).await, std::slice::from_ref(&bob.device_id));
    let answer = bob.get(&path(&phone.device_id)).send().await;
    answer.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn shows_when_a_device_was_last_used() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let device = phone.get(&path(&phone.device_id)).send().await.ok();
    assert!(device["last_seen_ts"].as_u64().unwrap() >= 1_800_000_000_000);
    assert!(device["last_seen_ip"].is_string(), "{device}");
}

#[tokio::test]
async fn renames_a_device() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let rename = |body: Value| phone.put(&path(&phone.device_id)).json(&body).send();
    rename(json!({ "display_name": "Phone" })).await.ok();
    rename(json!({})).await.ok();
    let device = phone.get(&path(&phone.device_id)).send().await.ok();
    assert_eq!(device["display_name"], "Phone");
    let long = json!({ "display_name": "x".repeat(101) });
    rename(long).await.error(413, "M_TOO_LARGE");
    let answer = phone.put(&path("NOPE")).json(&json!({})).send().await;
    answer.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn deletes_a_device_after_proof() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    laptop.get(WHOAMI).send().await.ok();
    let delete = |body: Value| phone.delete(&path(&laptop.device_id)).json(&body).send();
    let asked = challenge(&delete(json!({})).await);
    assert_eq!(asked["flows"], json!([{ "stages": ["m.login.password"] }]));
    let stage = |password| password_stage(&phone.id, password, &asked["session"]);
    let refused = challenge(&delete(json!({ "auth": stage("wrong") })).await);
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
    laptop.get(WHOAMI).send().await.ok();
    delete(json!({ "auth": stage(TestUser::PASSWORD) }))
        .await
        .ok();
    laptop
        .get(WHOAMI)
        .send()
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(list(&phone).await, std::slice::from_ref(&phone.device_id));
}

#[tokio::test]
async fn refuses_the_proof_of_somebody_else_and_for_something_else() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    let delete = |device: &str, body: Value| phone.delete(&path(device)).json(&body).send();
    let asked = challenge(&delete(&laptop.device_id, json!({})).await);
    // Bob's password does not prove that one is Alice.
    let stage = password_stage(&bob.id, TestUser::PASSWORD, &asked["session"]);
    let refused = challenge(&delete(&laptop.device_id, json!({ "auth": stage })).await);
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
    // The session is for the laptop.
    let stage = password_stage(&phone.id, TestUser::PASSWORD, &asked["session"]);
    let auth = json!({ "auth": stage });
    delete(&phone.device_id, auth.clone())
        .await
        .error(403, "M_FORBIDDEN");
    // And it is Alice's.
    let request = bob.delete(&path(&laptop.device_id)).json(&auth);
    request.send().await.error(403, "M_FORBIDDEN");
    assert_eq!(list(&phone).await.len(), 2);
}

#[tokio::test]
async fn deletes_several_devices_at_once() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let tablet = another_session(&server, &phone).await;
    let devices = json!([laptop.device_id, tablet.device_id, "NOPE"]);
    let delete = |auth: Value| {
        let body = json!({ "devices": devices, "auth": auth });
        phone.post(DELETE_DEVICES).json(&body).send()
    };
    let asked = challenge(&delete(json!(null)).await);
    let stage = password_stage("alice", TestUser::PASSWORD, &asked["session"]);
    delete(stage).await.ok();
    assert_eq!(list(&phone).await, std::slice::from_ref(&phone.device_id));
    for gone in [laptop, tablet] {
        gone.get(WHOAMI).send().await.error(401, "M_UNKNOWN_TOKEN");
    }
    let answer = phone.post(DELETE_DEVICES).json(&json!({})).send().await;
    answer.error(400, "M_MISSING_PARAM");
}
