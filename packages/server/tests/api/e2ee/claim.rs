//! `POST /_matrix/client/v3/keys/claim`

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use matryx_entity::{
    issued_key::IssuedKey, one_time_key::OneTimeKey, stored::Stored, token_hash::TokenHash,
};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{OneTimeKeyAlgorithm, OwnedUserId, UserId};
use serde_json::json;

use super::{claim, claimed, upload};
use crate::{
    account::another_session,
    support::{DeviceIdentity, TestServer},
};

#[tokio::test]
async fn gives_the_oldest_key_first_and_then_the_fallback_key() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    // Uploaded in this order, which is not that of their ids.
    let identity = DeviceIdentity::publish(&alice, 0).await;
    for number in [5, 3, 4] {
        let keys = identity.one_time_keys(number..=number);
        upload(&alice, json!({ "one_time_keys": keys })).await.ok();
    }
    for number in ["000005", "000003", "000004"] {
        let (id, key) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
        assert_eq!(id, format!("signed_curve25519:{number}"));
        let number = number.parse().unwrap();
        assert_eq!(key, identity.one_time_keys(number..=number)[&id]);
    }
    assert_eq!(claimed(&bob, &alice.id, &alice.device_id).await, None);
    let fallback = identity.fallback_key(1);
    upload(&alice, json!({ "fallback_keys": fallback }))
        .await
        .ok();
    for _ in 0..3 {
        let (id, key) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
        assert_eq!(json!({ (id): key }), fallback);
    }
    let newer = identity.fallback_key(2);
    upload(&alice, json!({ "fallback_keys": newer })).await.ok();
    let (id, key) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    assert_eq!(json!({ (id): key }), newer);
    let keys = identity.one_time_keys(9..10);
    upload(&alice, json!({ "one_time_keys": keys })).await.ok();
    let (id, _) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    assert_eq!(id, "signed_curve25519:000009");
}

#[tokio::test]
async fn a_hundred_claims_at_once_get_a_hundred_keys() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    DeviceIdentity::publish(&alice, 100).await;
    let claims = (0..110).map(|number| {
        let by = if number % 2 == 0 { &bob } else { &carol };
        claimed(by, &alice.id, &alice.device_id)
    });
    let keys: Vec<_> = join_all(claims).await.into_iter().flatten().collect();
    assert_eq!(keys.len(), 100);
    let ids: BTreeSet<_> = keys.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 100);
    let counts = upload(&alice, json!({})).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0);
}

#[tokio::test]
async fn several_devices_of_several_users_in_one_request() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    let of_phone = DeviceIdentity::publish(&phone, 2).await.one_time_keys(0..1);
    let of_laptop = DeviceIdentity::publish(&laptop, 2)
        .await
        .one_time_keys(0..1);
    let of_bob = DeviceIdentity::publish(&bob, 2).await.one_time_keys(0..1);
    let algorithm = "signed_curve25519";
    let body = json!({ "timeout": 2_000, "one_time_keys": {
        (phone.id.as_str()): {
            (phone.device_id.as_str()): algorithm,
            (laptop.device_id.as_str()): algorithm,
            "NOPE": algorithm,
        },
        (bob.id.as_str()): { (bob.device_id.as_str()): algorithm },
        "@nobody:test.example": { "NOPE": algorithm },
        "@bob:127.0.0.1:1": { "NOPE": algorithm },
    } });
    let request = bob.post("/_matrix/client/v3/keys/claim").json(&body);
    let answer = request.send().await.ok();
    assert_eq!(
        answer["one_time_keys"],
        json!({
            (phone.id.as_str()): {
                (phone.device_id.as_str()): of_phone,
                (laptop.device_id.as_str()): of_laptop,
            },
            (bob.id.as_str()): { (bob.device_id.as_str()): of_bob },
        })
    );
    assert!(answer["failures"]["127.0.0.1:1"].is_object(), "{answer}");
}

#[tokio::test]
async fn an_algorithm_that_the_device_has_no_key_of_gets_none() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    DeviceIdentity::publish(&alice, 1).await;
    let body = json!({ "one_time_keys": {
        (alice.id.as_str()): { (alice.device_id.as_str()): "curve25519" },
    } });
    let request = alice.post("/_matrix/client/v3/keys/claim").json(&body);
    assert_eq!(request.send().await.ok()["one_time_keys"], json!({}));
    let taken = claim(&alice, &alice.id, &alice.device_id).await.ok();
    assert_ne!(taken["one_time_keys"], json!({}));
}

#[tokio::test]
async fn refuses_too_many_users() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let users = (0..2_001).map(|number| (format!("@u{number}:test.example"), json!({})));
    let users: serde_json::Map<_, _> = users.collect();
    let request = alice.post("/_matrix/client/v3/keys/claim");
    let request = request.json(&json!({ "one_time_keys": users }));
    request.send().await.error(413, "M_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_give_out_the_same_key() {
    let servers = TestServer::configure().start_twice().await;
    let alice = servers[0].register("alice").await;
    DeviceIdentity::publish(&alice, 60).await;
    let user = OwnedUserId::try_from(alice.id.as_str()).unwrap();
    let devices = BTreeMap::from([(
        alice.device_id.as_str().into(),
        OneTimeKeyAlgorithm::SignedCurve25519,
    )]);
    let claim = async |server: &TestServer| {
        let mut ids = Vec::new();
        // One after the other, as long as there are keys: the processes run into each other.
        loop {
            let claims = BTreeMap::from([(user.clone(), devices.clone())]);
            let mut claimed = server.app.e2ee.claim_here(claims).await.unwrap();
            let Some(keys) = claimed.remove(&user) else {
                return ids;
            };
            let keys = keys.into_values().flatten();
            ids.extend(keys.map(|(id, _)| id.to_string()));
        }
    };
    let (one, other) = tokio::join!(claim(&servers[0]), claim(&servers[1]));
    assert!(!one.is_empty() && !other.is_empty());
    let count = one.len() + other.len();
    let all: BTreeSet<String> = one.into_iter().chain(other).collect();
    assert_eq!((all.len(), count), (60, 60));
}

#[tokio::test]
async fn a_key_that_another_process_gave_out_is_passed_over() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    DeviceIdentity::publish(&alice, 5).await;
    let (id, _) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    assert_eq!(id, "signed_curve25519:000000");
    // Its log entry is still on its way here.
    let store = &server.app.store;
    let user = UserId::parse(&alice.id).unwrap();
    let prefix = OneTimeKey::prefix(&user, alice.device_id.as_str().into());
    let mut keys: Vec<OneTimeKey> = store.range(KeyRange::prefix(&prefix)).await.unwrap();
    keys.sort_by_key(|key| key.no);
    let mut plan = Plan::new();
    for key in &keys[..2] {
        plan.delete::<OneTimeKey>(&key.key());
        plan.create(&IssuedKey {
            user: key.user.clone(),
            device_id: key.device_id.clone(),
            algorithm: key.algorithm.clone(),
            key_id: key.key_id.clone(),
            no: key.no,
            hash: TokenHash::of(&key.json),
        });
    }
    store.commit(plan).await.unwrap();
    for number in ["000003", "000004"] {
        let (id, _) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
        assert_eq!(id, format!("signed_curve25519:{number}"));
    }
    assert_eq!(claimed(&bob, &alice.id, &alice.device_id).await, None);
}

#[tokio::test]
async fn a_device_that_is_gone_gives_out_no_more_keys() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    DeviceIdentity::publish(&phone, 5).await;
    DeviceIdentity::publish(&laptop, 5).await;
    for _ in 0..2 {
        let of_laptop = claimed(&bob, &laptop.id, &laptop.device_id).await;
        assert!(of_laptop.is_some());
        assert!(claimed(&bob, &phone.id, &phone.device_id).await.is_some());
    }
    assert!(claimed(&bob, &laptop.id, &laptop.device_id).await.is_some());
    laptop.post("/_matrix/client/v3/logout").send().await.ok();
    assert_eq!(claimed(&bob, &laptop.id, &laptop.device_id).await, None);
    assert!(claimed(&bob, &phone.id, &phone.device_id).await.is_some());
}
