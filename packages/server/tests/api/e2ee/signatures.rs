//! `POST /_matrix/client/v3/keys/signatures/upload`

use serde_json::{Value, json};

use super::{keys_of, upload, upload_signing_keys};
use crate::{
    account::another_session,
    support::{CrossSigning, DeviceIdentity, SigningKey, TestServer, TestUser},
};

/// Uploads one signed key; why it failed, if it did.
async fn sign(user: &TestUser, target: &str, key: &str, signed: Value) -> Option<Value> {
    let body = json!({ (target): { (key): signed } });
    let request = user.post("/_matrix/client/v3/keys/signatures/upload");
    let answer = request.json(&body).send().await.ok();
    Some(answer.get("failures")?[target][key].clone())
}

async fn bootstrap(user: &TestUser) -> CrossSigning {
    let keys = CrossSigning::new(&user.id);
    upload_signing_keys(user, keys.upload()).await.ok();
    keys
}

#[tokio::test]
async fn a_signed_device_is_shown_to_everybody() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let identity = DeviceIdentity::publish(&alice, 0).await;
    let keys = bootstrap(&alice).await;
    let mut signed = identity.device_keys();
    keys.self_signing.sign(&mut signed);
    let device = alice.device_id.as_str();
    let mut sent = signed.clone();
    sent["unsigned"] = json!({ "anything": 1 });
    assert_eq!(sign(&alice, &alice.id, device, sent).await, None);
    for user in [&alice, &bob] {
        let told = keys_of(user, &alice.id).await;
        assert_eq!(told["device_keys"][&alice.id][device], signed);
    }
    // It stays when the device uploads its keys once more.
    let again = json!({ "device_keys": identity.device_keys() });
    upload(&alice, again).await.ok();
    let told = keys_of(&bob, &alice.id).await;
    assert_eq!(told["device_keys"][&alice.id][device], signed);
}

#[tokio::test]
async fn a_master_key_signed_by_a_device() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let identity = DeviceIdentity::publish(&alice, 0).await;
    let keys = bootstrap(&alice).await;
    let mut signed = keys.master.published("master");
    identity.key.sign(&mut signed);
    let name = keys.master.public.as_str();
    assert_eq!(sign(&alice, &alice.id, name, signed.clone()).await, None);
    let told = keys_of(&bob, &alice.id).await;
    assert_eq!(told["master_keys"][&alice.id], signed);
}

#[tokio::test]
async fn what_one_says_of_another_is_for_oneself() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let of_alice = bootstrap(&alice).await;
    let of_bob = bootstrap(&bob).await;
    bootstrap(&carol).await;
    let plain = of_bob.master.published("master");
    let mut signed = plain.clone();
    of_alice.user_signing.sign(&mut signed);
    let name = of_bob.master.public.as_str();
    assert_eq!(sign(&alice, &bob.id, name, signed.clone()).await, None);
    let told = keys_of(&alice, &bob.id).await;
    assert_eq!(told["master_keys"][&bob.id], signed);
    for other in [&bob, &carol] {
        let told = keys_of(other, &bob.id).await;
        assert_eq!(told["master_keys"][&bob.id], plain);
    }
    // Another user-signing key takes the place of what the first one said.
    let mut replaced = plain.clone();
    SigningKey::for_cross_signing(&alice.id).sign(&mut replaced);
    let failure = sign(&alice, &bob.id, name, replaced).await.unwrap();
    assert_eq!(failure["errcode"], "M_INVALID_SIGNATURE");
    let told = keys_of(&alice, &bob.id).await;
    assert_eq!(told["master_keys"][&bob.id], signed);
}

#[tokio::test]
async fn says_of_each_key_why_it_was_not_taken() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    let identity = DeviceIdentity::publish(&phone, 0).await;
    let of_laptop = DeviceIdentity::publish(&laptop, 0).await;
    let of_bob = DeviceIdentity::publish(&bob, 0).await;
    let keys = bootstrap(&phone).await;
    let bobs = bootstrap(&bob).await;
    let device = phone.device_id.as_str();
    let errcode = async |target: &str, key: &str, signed: Value| {
        let failure = sign(&phone, target, key, signed).await.unwrap();
        assert!(failure["error"].is_string(), "{failure}");
        failure["errcode"].as_str().unwrap().to_owned()
    };
    let signed = |by: &SigningKey, mut key: Value| {
        by.sign(&mut key);
        key
    };
    let own = identity.device_keys();
    // Nobody who may has signed it.
    assert_eq!(
        errcode(&phone.id, device, own.clone()).await,
        "M_INVALID_SIGNATURE"
    );
    let by_usk = signed(&keys.user_signing, own.clone());
    assert_eq!(
        errcode(&phone.id, device, by_usk).await,
        "M_INVALID_SIGNATURE"
    );
    // The signature is of something else.
    let mut wrong = signed(&keys.self_signing, own.clone());
    let of_another = signed(&keys.self_signing, of_laptop.device_keys());
    wrong["signatures"] = of_another["signatures"].clone();
    assert_eq!(
        errcode(&phone.id, device, wrong).await,
        "M_INVALID_SIGNATURE"
    );
    // It is another key than the one that is known.
    let mut other = own.clone();
    other["algorithms"] = json!([]);
    let other = signed(&keys.self_signing, other);
    assert_eq!(errcode(&phone.id, device, other).await, "M_INVALID_PARAM");
    // There is no such key.
    let signed_own = signed(&keys.self_signing, own);
    assert_eq!(
        errcode(&phone.id, "NOPE", signed_own.clone()).await,
        "M_NOT_FOUND"
    );
    let user_signing = keys.user_signing.published("user_signing");
    let name = keys.user_signing.public.as_str();
    assert_eq!(errcode(&phone.id, name, user_signing).await, "M_NOT_FOUND");
    // Of others one signs the master key alone, and that with the user-signing key.
    let device_of_bob = signed(&keys.user_signing, of_bob.device_keys());
    assert_eq!(
        errcode(&bob.id, &bob.device_id, device_of_bob).await,
        "M_NOT_FOUND"
    );
    let master = bobs.master.published("master");
    let name = bobs.master.public.as_str();
    let by_another = signed(&keys.self_signing, master.clone());
    assert_eq!(
        errcode(&bob.id, name, by_another).await,
        "M_INVALID_SIGNATURE"
    );
    let mut other = master;
    other["extra"] = json!(1);
    let other = signed(&keys.user_signing, other);
    assert_eq!(errcode(&bob.id, name, other).await, "M_INVALID_PARAM");
    let nobody = "@nobody:test.example";
    assert_eq!(errcode(nobody, name, json!({})).await, "M_NOT_FOUND");
    // What is good in a request is taken, whatever else is in it.
    let body = json!({ (phone.id.as_str()): { (device): signed_own, "NOPE": {} } });
    let request = phone.post("/_matrix/client/v3/keys/signatures/upload");
    let answer = request.json(&body).send().await.ok();
    let failures = answer["failures"][&phone.id].as_object().unwrap();
    assert_eq!(failures.keys().collect::<Vec<_>>(), ["NOPE"]);
    let told = keys_of(&bob, &phone.id).await;
    assert_eq!(told["device_keys"][&phone.id][device], signed_own);
}

#[tokio::test]
async fn refuses_too_many_at_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys: serde_json::Map<_, _> = (0..1_001)
        .map(|number| (format!("D{number}"), json!({})))
        .collect();
    let request = alice.post("/_matrix/client/v3/keys/signatures/upload");
    let request = request.json(&json!({ (alice.id.as_str()): keys }));
    request.send().await.error(413, "M_TOO_LARGE");
}
