//! One-time keys when the server ends between a claim and its answer.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{DeviceIdentity, Launch, Site};

const KEYS: usize = 100;

async fn post(site: &Site, path: &str, token: &str, body: &Value) -> Option<Value> {
    let path = format!("/_matrix/client/v3/{path}");
    let request = site.post(&path).bearer_auth(token).json(body);
    let answer = request.send().await.ok()?;
    if answer.status() != 200 {
        return None;
    }
    answer.json().await.ok()
}

/// Claims a key; its id, if the answer arrived and had one.
async fn claim(site: &Site, token: &str, of: &DeviceIdentity) -> Option<String> {
    let claims = json!({ (of.user.as_str()): { (of.device.as_str()): "signed_curve25519" } });
    let body = json!({ "one_time_keys": claims });
    let answer = post(site, "keys/claim", token, &body).await?;
    let keys = answer["one_time_keys"][&of.user][&of.device].as_object()?;
    keys.keys().next().cloned()
}

#[tokio::test]
async fn no_key_is_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let mut server = launch.start().await;
    let token = server.site.register("alice").await;
    let whoami = server.site.get("/_matrix/client/v3/account/whoami");
    let whoami: Value = whoami
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let text = |field: &str| whoami[field].as_str().unwrap();
    let identity = DeviceIdentity::named(text("user_id"), text("device_id"));
    let body = json!({
        "device_keys": identity.device_keys(),
        "one_time_keys": identity.one_time_keys(0..u32::try_from(KEYS).unwrap()),
    });
    post(&server.site, "keys/upload", &token, &body)
        .await
        .unwrap();
    let mut got: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut claims = JoinSet::new();
        for _ in 0..20 {
            let (site, token) = (server.site.clone(), token.clone());
            let (user, device) = (identity.user.clone(), identity.device.clone());
            claims.spawn(async move {
                let of = DeviceIdentity::named(&user, &device);
                claim(&site, &token, &of).await
            });
        }
        // Some are answered, others are under way.
        for _ in 0..=round * 3 {
            got.extend(claims.join_next().await.unwrap().unwrap());
        }
        server.kill().await;
        while let Some(outcome) = claims.join_next().await {
            got.extend(outcome.unwrap());
        }
        server = launch.start().await;
    }
    let counts = post(&server.site, "keys/upload", &token, &json!({})).await;
    let counts = counts.unwrap();
    let left = counts["one_time_key_counts"]["signed_curve25519"].as_u64();
    let left = usize::try_from(left.unwrap()).unwrap();
    assert!(left <= KEYS - got.len(), "{left} left, {} given", got.len());
    for _ in 0..left {
        got.push(claim(&server.site, &token, &identity).await.unwrap());
    }
    assert_eq!(claim(&server.site, &token, &identity).await, None);
    let ids: BTreeSet<_> = got.iter().collect();
    assert_eq!(ids.len(), got.len());
    let _ended = tokio::time::timeout(Duration::from_mins(1), server.terminate()).await;
}
