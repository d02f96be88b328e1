//! What `/sync` tells a device of its keys.

use serde_json::{Value, json};

use super::{claimed, upload};
use crate::support::{DeviceIdentity, TestServer, TestUser};

/// The counts and the unused fallback keys of a sync.
fn stock(sync: &Value) -> (Value, Value) {
    (
        sync["device_one_time_keys_count"].clone(),
        sync["device_unused_fallback_key_types"].clone(),
    )
}

async fn next(user: &TestUser, since: &Value) -> Value {
    let request = user.get("/_matrix/client/v3/sync");
    let request = request.query("timeout", "30000");
    let request = request.query("since", since["next_batch"].as_str().unwrap());
    request.send().await.ok()
}

#[tokio::test]
async fn a_device_learns_at_once_what_is_left_of_its_keys() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let signed = "signed_curve25519";
    let news = alice.sync(None).await;
    assert_eq!(stock(&news), (json!({ (signed): 0 }), json!([])));
    let identity = DeviceIdentity::publish(&alice, 2).await;
    let news = alice.sync(news["next_batch"].as_str()).await;
    assert_eq!(stock(&news), (json!({ (signed): 2 }), json!([])));
    let fallback = json!({ "fallback_keys": identity.fallback_key(1) });
    upload(&alice, fallback.clone()).await.ok();
    let news = alice.sync(news["next_batch"].as_str()).await;
    assert_eq!(stock(&news), (json!({ (signed): 2 }), json!([signed])));
    // Each claim wakes the device, and so does the first use of the fallback key.
    let mut news = news;
    for (left, unused) in [(1, json!([signed])), (0, json!([signed])), (0, json!([]))] {
        let waiting = next(&alice, &news);
        let claiming = claimed(&bob, &alice.id, &alice.device_id);
        let (told, given) = tokio::join!(waiting, claiming);
        assert!(given.is_some());
        assert_eq!(stock(&told), (json!({ (signed): left }), unused));
        news = told;
    }
    // The same key once more is as used as it was; another is not.
    upload(&alice, fallback).await.ok();
    let news = alice.sync(news["next_batch"].as_str()).await;
    assert_eq!(stock(&news), (json!({ (signed): 0 }), json!([])));
    let fallback = json!({ "fallback_keys": identity.fallback_key(2) });
    upload(&alice, fallback).await.ok();
    let news = alice.sync(news["next_batch"].as_str()).await;
    assert_eq!(stock(&news), (json!({ (signed): 0 }), json!([signed])));
}

#[tokio::test]
async fn the_keys_of_one_device_are_no_news_to_another() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    DeviceIdentity::publish(&alice, 5).await;
    let news = bob.sync(None).await;
    assert_eq!(stock(&news).0, json!({ "signed_curve25519": 0 }));
    claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    let counts = upload(&alice, json!({})).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 4);
}
