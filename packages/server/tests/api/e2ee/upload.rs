//! `POST /_matrix/client/v3/keys/upload`

use matryx_entity::{issued_key::IssuedKey, one_time_key::OneTimeKey, token_hash::TokenHash};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{DeviceId, UserId};
use serde_json::{Value, json};

use super::{claimed, keys_of, upload};
use crate::{
    account::another_session,
    support::{DeviceIdentity, TestServer},
};

#[tokio::test]
async fn keys_are_counted_and_told_as_they_came() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let counts = upload(&alice, json!({})).await.ok();
    assert_eq!(
        counts,
        json!({ "one_time_key_counts": { "signed_curve25519": 0 } })
    );
    let identity = DeviceIdentity::new(&alice);
    let mut keys = identity.device_keys();
    keys["unsigned"] = json!({ "device_display_name": "forged" });
    let body = json!({
        "device_keys": keys,
        "one_time_keys": identity.one_time_keys(0..5),
        "fallback_keys": identity.fallback_key(0),
    });
    let counts = upload(&alice, body).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 5);
    let unsigned = json!({ "curve25519:AA": "3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI" });
    let counts = upload(&alice, json!({ "one_time_keys": unsigned })).await;
    assert_eq!(
        counts.ok()["one_time_key_counts"],
        json!({ "signed_curve25519": 5, "curve25519": 1 })
    );
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(
        told["device_keys"],
        json!({ (alice.id.as_str()): { (alice.device_id.as_str()): identity.device_keys() } })
    );
}

#[tokio::test]
async fn a_key_stays_what_it_was() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let identity = DeviceIdentity::publish(&alice, 3).await;
    let again = json!({ "one_time_keys": identity.one_time_keys(0..3) });
    let counts = upload(&alice, again).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3);
    let mut other = json!({ "key": "3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI" });
    identity.key.sign(&mut other);
    let other = json!({ "one_time_keys": {
        "signed_curve25519:000001": other,
        "signed_curve25519:000009": identity.one_time_keys(9..10)["signed_curve25519:000009"],
    } });
    let answer = upload(&alice, other).await;
    answer.error(400, "M_INVALID_PARAM");
    // Nothing of it was kept.
    let counts = upload(&alice, json!({})).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3);
}

#[tokio::test]
async fn an_upload_that_is_repeated_brings_no_issued_key_back() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let identity = DeviceIdentity::publish(&alice, 2).await;
    let (first, _) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    assert_eq!(first, "signed_curve25519:000000");
    let again = json!({ "one_time_keys": identity.one_time_keys(0..2) });
    let counts = upload(&alice, again).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 1);
    let (second, _) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    assert_eq!(second, "signed_curve25519:000001");
    assert_eq!(claimed(&bob, &alice.id, &alice.device_id).await, None);
}

#[tokio::test]
async fn only_the_newest_issued_keys_are_remembered() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let identity = DeviceIdentity::publish(&alice, 0).await;
    let user = UserId::parse(&alice.id).unwrap();
    let device: &DeviceId = alice.device_id.as_str().into();
    let store = &server.app.store;
    let mut plan = Plan::new();
    for no in 0..230 {
        plan.create(&IssuedKey {
            user: user.clone(),
            device_id: device.to_owned(),
            algorithm: "signed_curve25519".to_owned(),
            key_id: format!("{no:06}"),
            no,
            hash: TokenHash::of(&no.to_string()),
        });
    }
    store.commit(plan).await.unwrap();
    let body = json!({ "one_time_keys": identity.one_time_keys(500..501) });
    upload(&alice, body).await.ok();
    let kept = KeyRange::prefix(&OneTimeKey::prefix(&user, device));
    let kept: Vec<IssuedKey> = store.range(kept).await.unwrap();
    assert_eq!(kept.len(), 200);
    assert_eq!(kept.iter().map(|key| key.no).min(), Some(30));
}

#[tokio::test]
async fn a_new_identity_takes_the_old_keys_away() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let old = DeviceIdentity::publish(&alice, 5).await;
    upload(&alice, json!({ "fallback_keys": old.fallback_key(0) }))
        .await
        .ok();
    claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    let new = DeviceIdentity::new(&alice);
    let body = json!({ "device_keys": new.device_keys() });
    let counts = upload(&alice, body).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0);
    assert_eq!(claimed(&bob, &alice.id, &alice.device_id).await, None);
    // Its ids begin anew.
    let body = json!({ "one_time_keys": new.one_time_keys(0..1) });
    let counts = upload(&alice, body).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 1);
    let (_, key) = claimed(&bob, &alice.id, &alice.device_id).await.unwrap();
    assert_eq!(key, new.one_time_keys(0..1)["signed_curve25519:000000"]);
}

#[tokio::test]
async fn refuses_identity_keys_that_are_not_the_devices_own() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let laptop = another_session(&server, &alice).await;
    let identity = DeviceIdentity::new(&alice);
    let device = &alice.device_id;
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut keys = identity.device_keys();
        keys.as_object_mut().unwrap().remove("signatures");
        change(&mut keys);
        identity.key.sign(&mut keys);
        keys
    };
    let ed25519 = format!("ed25519:{device}");
    let curve25519 = format!("curve25519:{device}");
    let bad = [
        DeviceIdentity::new(&laptop).device_keys(),
        DeviceIdentity::named("@bob:test.example", device).device_keys(),
        signed(&|keys| keys["user_id"] = json!("@bob:test.example")),
        signed(&|keys| keys["algorithms"] = json!(vec!["x"; 21])),
        signed(&|keys| keys["keys"] = json!({})),
        signed(&|keys| keys["keys"][&ed25519] = json!("short")),
        signed(&|keys| keys["keys"][&curve25519] = json!("no base64!")),
        {
            let mut keys = identity.device_keys();
            keys.as_object_mut().unwrap().remove("signatures");
            keys["signatures"] = json!({});
            keys
        },
    ];
    for keys in bad {
        let answer = upload(&alice, json!({ "device_keys": keys })).await;
        assert_eq!(answer.status, 400, "{keys}");
        answer.error(400, "M_INVALID_PARAM");
    }
    let mut changed = identity.device_keys();
    changed["algorithms"] = json!([]);
    let answer = upload(&alice, json!({ "device_keys": changed })).await;
    answer.error(400, "M_INVALID_SIGNATURE");
    let floats = signed(&|_| {}).to_string();
    let floats = floats.replacen('{', r#"{"extra":1.5,"#, 1);
    let request = alice.post("/_matrix/client/v3/keys/upload");
    let request = request.bytes(format!(r#"{{"device_keys":{floats}}}"#));
    request.send().await.error(400, "M_BAD_JSON");
    let huge = signed(&|keys| keys["extra"] = json!("x".repeat(40_000)));
    let answer = upload(&alice, json!({ "device_keys": huge })).await;
    answer.error(413, "M_TOO_LARGE");
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(told["device_keys"], json!({ (alice.id.as_str()): {} }));
}

#[tokio::test]
async fn refuses_one_time_keys_that_the_device_did_not_sign() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let identity = DeviceIdentity::new(&alice);
    let early = json!({ "one_time_keys": identity.one_time_keys(0..1) });
    upload(&alice, early).await.error(400, "M_INVALID_PARAM");
    let identity = DeviceIdentity::publish(&alice, 0).await;
    let good = identity.one_time_keys(0..1)["signed_curve25519:000000"].clone();
    let mut forged = good.clone();
    forged["key"] = json!("3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI");
    let stranger = DeviceIdentity::new(&alice).one_time_keys(0..1);
    for (id, key, errcode) in [
        ("signed_curve25519:AA", forged, "M_INVALID_SIGNATURE"),
        (
            "signed_curve25519:AA",
            stranger["signed_curve25519:000000"].clone(),
            "M_INVALID_SIGNATURE",
        ),
        (
            "signed_curve25519:AA",
            json!({ "key": good["key"], "signatures": {} }),
            "M_INVALID_PARAM",
        ),
        (
            "signed_curve25519:AA",
            good["key"].clone(),
            "M_INVALID_PARAM",
        ),
        ("curve25519:AA", good.clone(), "M_INVALID_PARAM"),
        ("curve25519:AA", json!("short"), "M_INVALID_PARAM"),
    ] {
        for field in ["one_time_keys", "fallback_keys"] {
            let body = json!({ (field): { (id): key } });
            upload(&alice, body).await.error(400, errcode);
        }
    }
    let counts = upload(&alice, json!({})).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0);
}

#[tokio::test]
async fn the_keys_of_a_device_are_bounded() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let identity = DeviceIdentity::publish(&alice, 300).await;
    let more = json!({ "one_time_keys": identity.one_time_keys(300..501) });
    upload(&alice, more).await.error(413, "M_TOO_LARGE");
    let more = json!({ "one_time_keys": identity.one_time_keys(300..500) });
    let counts = upload(&alice, more).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 500);
    let long = format!("org.example:{}", "x".repeat(300));
    for (id, key) in [
        (long.as_str(), "x".to_owned()),
        ("org.example:A", "x".repeat(5_000)),
    ] {
        let body = json!({ "one_time_keys": { (id): key } });
        upload(&alice, body).await.error(413, "M_TOO_LARGE");
    }
    let fallback: Value = (0..21)
        .map(|number| (format!("org.example.{number}:A"), json!("key")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let answer = upload(&alice, json!({ "fallback_keys": fallback })).await;
    answer.error(413, "M_TOO_LARGE");
    let two = json!({ "org.example:A": "key", "org.example:B": "key" });
    let answer = upload(&alice, json!({ "fallback_keys": two })).await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn needs_a_device() {
    let server = TestServer::configure()
        .appservice(
            "bridge",
            r"
id: bridge
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: bridge_bot
namespaces: { users: [], aliases: [], rooms: [] }
",
        )
        .start()
        .await;
    let path = "/_matrix/client/v3/keys/upload";
    let answer = server.post(path).json(&json!({})).send().await;
    answer.error(401, "M_MISSING_TOKEN");
    let request = server.post(path).token("as-secret").json(&json!({}));
    request.send().await.error(400, "M_MISSING_PARAM");
}
