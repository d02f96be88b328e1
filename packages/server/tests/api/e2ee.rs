//! End-to-end encryption, by URL.

mod claim;
mod cross_signing;
mod devices;
mod kill;
mod query;
mod signatures;
mod sync;
mod upload;

use serde_json::{Value, json};

use crate::support::{Answer, TestUser};

async fn upload(user: &TestUser, body: Value) -> Answer {
    let request = user.post("/_matrix/client/v3/keys/upload");
    request.json(&body).send().await
}

async fn query(user: &TestUser, body: Value) -> Answer {
    let request = user.post("/_matrix/client/v3/keys/query");
    request.json(&body).send().await
}

/// All that a user is told of another's keys.
async fn keys_of(user: &TestUser, of: &str) -> Value {
    query(user, json!({ "device_keys": { (of): [] } }))
        .await
        .ok()
}

async fn claim(user: &TestUser, of: &str, device: &str) -> Answer {
    let body = json!({ "one_time_keys": { (of): { (device): "signed_curve25519" } } });
    let request = user.post("/_matrix/client/v3/keys/claim");
    request.json(&body).send().await
}

/// Claims a key of a device; its id and the key.
async fn claimed(user: &TestUser, of: &str, device: &str) -> Option<(String, Value)> {
    let answer = claim(user, of, device).await.ok();
    let keys = answer["one_time_keys"][of][device].as_object()?.clone();
    assert_eq!(keys.len(), 1, "{answer}");
    keys.into_iter().next()
}

async fn upload_signing_keys(user: &TestUser, body: Value) -> Answer {
    let request = user.post("/_matrix/client/v3/keys/device_signing/upload");
    request.json(&body).send().await
}
