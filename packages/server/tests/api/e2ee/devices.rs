//! What becomes of keys when devices come and go, and how the user's list counts it.

use matryx_entity::{
    cross_signing_key::CrossSigningKey, device_keys::DeviceKeys, device_list::DeviceList,
    fallback_key::FallbackKey, issued_key::IssuedKey, key, key_signature::KeySignature,
    one_time_key::OneTimeKey, stored::Stored, to_device::ToDeviceMessage,
};
use matryx_surrealdb::KeyRange;
use ruma::UserId;
use serde_json::{Value, json};

use super::{claimed, keys_of, upload, upload_signing_keys};
use crate::{
    account::{another_session, challenge, password_stage},
    support::{CrossSigning, DeviceIdentity, TestServer, TestUser, encode},
};

/// The rows of a device that [`furnish`] made.
const FURNISHED: [usize; 5] = [1, 2, 1, 1, 2];

async fn count<T: Stored>(server: &TestServer, user: &TestUser) -> usize {
    let range = KeyRange::prefix(&key![user.id.as_str(), user.device_id.as_str()]);
    server.app.store.range::<T>(range).await.unwrap().len()
}

/// How many rows there are of the device in each table of keys, and of messages for it.
async fn rows(server: &TestServer, user: &TestUser) -> [usize; 5] {
    let id = UserId::parse(&user.id).unwrap();
    let keys = DeviceKeys::key_of(&id, user.device_id.as_str().into());
    let keys = server.app.store.get::<DeviceKeys>(&keys).await.unwrap();
    [
        usize::from(keys.is_some()),
        count::<OneTimeKey>(server, user).await,
        count::<IssuedKey>(server, user).await,
        count::<FallbackKey>(server, user).await,
        count::<ToDeviceMessage>(server, user).await,
    ]
}

async fn stream_id(server: &TestServer, user: &TestUser) -> i64 {
    let id = UserId::parse(&user.id).unwrap();
    let list = DeviceList::key_of(&id);
    let list = server.app.store.get::<DeviceList>(&list).await;
    list.unwrap().unwrap().stream_id
}

/// A device with keys of every kind, one of them issued, and two messages that wait for it.
async fn furnish(server: &TestServer, user: &TestUser) {
    let identity = DeviceIdentity::publish(user, 3).await;
    let fallback = json!({ "fallback_keys": identity.fallback_key(0) });
    upload(user, fallback).await.ok();
    claimed(user, &user.id, &user.device_id).await.unwrap();
    for text in ["one", "two"] {
        let message =
            json!({ (user.id.as_str()): { (user.device_id.as_str()): { "text": text } } });
        let path = format!(
            "/_matrix/client/v3/sendToDevice/m.dummy/{}{text}",
            user.device_id
        );
        let request = user.put(&path).json(&json!({ "messages": message }));
        request.send().await.ok();
    }
    assert_eq!(rows(server, user).await, FURNISHED);
}

async fn prove(user: &TestUser, path: &str, mut body: Value) {
    let asked = challenge(&user.post(path).json(&body).send().await);
    body["auth"] = password_stage(&user.id, TestUser::PASSWORD, &asked["session"]);
    user.post(path).json(&body).send().await.ok();
}

#[tokio::test]
async fn every_change_counts_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    assert_eq!(stream_id(&server, &alice).await, 1);
    let laptop = another_session(&server, &alice).await;
    assert_eq!(stream_id(&server, &alice).await, 2);
    let identity = DeviceIdentity::publish(&alice, 3).await;
    assert_eq!(stream_id(&server, &alice).await, 3);
    // Nothing new.
    let again = json!({ "device_keys": identity.device_keys() });
    upload(&alice, again).await.ok();
    let keys = json!({ "one_time_keys": identity.one_time_keys(3..5) });
    upload(&alice, keys).await.ok();
    assert_eq!(stream_id(&server, &alice).await, 3);
    let path = format!("/_matrix/client/v3/devices/{}", encode(&alice.device_id));
    for _ in 0..2 {
        let name = json!({ "display_name": "phone" });
        alice.put(&path).json(&name).send().await.ok();
    }
    assert_eq!(stream_id(&server, &alice).await, 4);
    let keys = CrossSigning::new(&alice.id);
    upload_signing_keys(&alice, keys.upload()).await.ok();
    upload_signing_keys(&alice, keys.upload()).await.ok();
    assert_eq!(stream_id(&server, &alice).await, 5);
    let mut signed = identity.device_keys();
    keys.self_signing.sign(&mut signed);
    let mut master = keys.master.published("master");
    identity.key.sign(&mut master);
    let body = json!({ (alice.id.as_str()): {
        (alice.device_id.as_str()): signed,
        (keys.master.public.as_str()): master,
    } });
    for _ in 0..2 {
        let request = alice.post("/_matrix/client/v3/keys/signatures/upload");
        assert_eq!(request.json(&body).send().await.ok(), json!({}));
    }
    assert_eq!(stream_id(&server, &alice).await, 7);
    laptop.post("/_matrix/client/v3/logout").send().await.ok();
    assert_eq!(stream_id(&server, &alice).await, 8);
    let log_out = alice.post("/_matrix/client/v3/logout/all");
    log_out.send().await.ok();
    assert_eq!(stream_id(&server, &alice).await, 9);
}

#[tokio::test]
async fn a_login_on_a_known_device_keeps_its_keys() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    furnish(&server, &alice).await;
    let before = stream_id(&server, &alice).await;
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.id },
        "password": TestUser::PASSWORD,
        "device_id": alice.device_id,
    });
    let request = server.post("/_matrix/client/v3/login").json(&login);
    request.send().await.ok();
    assert_eq!(rows(&server, &alice).await, FURNISHED);
    assert_eq!(stream_id(&server, &alice).await, before);
}

#[tokio::test]
async fn the_keys_of_a_device_go_with_it() {
    for way in [
        "logout",
        "logout/all",
        "delete",
        "delete_devices",
        "password",
    ] {
        let server = TestServer::start().await;
        let bob = server.register("bob").await;
        let phone = server.register("alice").await;
        let laptop = another_session(&server, &phone).await;
        furnish(&server, &phone).await;
        furnish(&server, &laptop).await;
        let told = keys_of(&bob, &phone.id).await;
        assert_eq!(told["device_keys"][&phone.id].as_object().unwrap().len(), 2);
        let before = stream_id(&server, &phone).await;
        let path = format!("/_matrix/client/v3/{way}");
        match way {
            "delete" => {
                let path = format!("/_matrix/client/v3/devices/{}", encode(&laptop.device_id));
                let delete = |body: Value| phone.delete(&path).json(&body).send();
                let asked = challenge(&delete(json!({})).await);
                let auth = password_stage(&phone.id, TestUser::PASSWORD, &asked["session"]);
                delete(json!({ "auth": auth })).await.ok();
            }
            "delete_devices" => {
                prove(&phone, &path, json!({ "devices": [laptop.device_id] })).await;
            }
            "password" => {
                let path = "/_matrix/client/v3/account/password";
                prove(&phone, path, json!({ "new_password": "another one" })).await;
            }
            _ => {
                laptop.post(&path).send().await.ok();
            }
        }
        assert_eq!(rows(&server, &laptop).await, [0; 5], "{way}");
        let all = way == "logout/all";
        let left = if all { [0; 5] } else { FURNISHED };
        assert_eq!(rows(&server, &phone).await, left, "{way}");
        let gone = 1 + i64::from(all);
        assert_eq!(stream_id(&server, &phone).await, before + gone, "{way}");
        let told = keys_of(&bob, &phone.id).await;
        let devices = told["device_keys"][&phone.id].as_object().unwrap();
        assert_eq!(devices.len(), usize::from(!all), "{way}");
        assert_eq!(claimed(&bob, &phone.id, &laptop.device_id).await, None);
        // Nothing can be published for a device that is gone.
        let late = json!({ "device_keys": DeviceIdentity::new(&laptop).device_keys() });
        upload(&laptop, late).await.error(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn a_closed_account_has_no_keys() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    furnish(&server, &alice).await;
    let keys = CrossSigning::new(&alice.id);
    upload_signing_keys(&alice, keys.upload()).await.ok();
    let of_bob = CrossSigning::new(&bob.id);
    upload_signing_keys(&bob, of_bob.upload()).await.ok();
    let mut signed = of_bob.master.published("master");
    keys.user_signing.sign(&mut signed);
    let body = json!({ (bob.id.as_str()): { (of_bob.master.public.as_str()): signed } });
    let request = alice.post("/_matrix/client/v3/keys/signatures/upload");
    request.json(&body).send().await.ok();
    let before = stream_id(&server, &alice).await;
    assert!(keys_of(&bob, &alice.id).await["master_keys"].is_object());
    let path = "/_matrix/client/v3/account/deactivate";
    prove(&alice, path, json!({})).await;
    assert_eq!(rows(&server, &alice).await, [0; 5]);
    let prefix = key![alice.id.as_str()];
    let store = &server.app.store;
    let range = || KeyRange::prefix(&prefix);
    let left = store.range::<CrossSigningKey>(range()).await.unwrap();
    assert_eq!(left, []);
    let left = store.range::<KeySignature>(range()).await.unwrap();
    assert_eq!(left, []);
    assert_eq!(stream_id(&server, &alice).await, before + 2);
    assert_eq!(keys_of(&bob, &alice.id).await, json!({}));
    assert_eq!(claimed(&bob, &alice.id, &alice.device_id).await, None);
}
