//! `POST /_matrix/client/v3/keys/query`

use serde_json::json;

use super::{keys_of, query, upload, upload_signing_keys};
use crate::{
    account::another_session,
    support::{CrossSigning, DeviceIdentity, TestServer, encode},
};

#[tokio::test]
async fn tells_devices_with_their_names_and_only_those_that_are_asked_for() {
    let server = TestServer::start().await;
    let phone = server.register("alice").await;
    let laptop = another_session(&server, &phone).await;
    let _without_keys = another_session(&server, &phone).await;
    let bob = server.register("bob").await;
    assert_eq!(
        keys_of(&bob, &phone.id).await,
        json!({ "device_keys": { (phone.id.as_str()): {} } })
    );
    let of_phone = DeviceIdentity::publish(&phone, 0).await.device_keys();
    let of_laptop = DeviceIdentity::publish(&laptop, 0).await.device_keys();
    let (phone_id, laptop_id) = (phone.device_id.as_str(), laptop.device_id.as_str());
    let told = keys_of(&bob, &phone.id).await;
    assert_eq!(
        told["device_keys"][&phone.id],
        json!({ (phone_id): of_phone, (laptop_id): of_laptop })
    );
    let path = format!("/_matrix/client/v3/devices/{}", encode(phone_id));
    let name = json!({ "display_name": "Alice's \"phone\"" });
    phone.put(&path).json(&name).send().await.ok();
    let body = json!({ "device_keys": {
        (phone.id.as_str()): [phone_id, "NOPE"],
        (bob.id.as_str()): [],
        "@nobody:test.example": [],
    } });
    let told = query(&bob, body).await.ok();
    let mut named = of_phone;
    named["unsigned"] = json!({ "device_display_name": "Alice's \"phone\"" });
    assert_eq!(
        told,
        json!({ "device_keys": {
            (phone.id.as_str()): { (phone_id): named },
            (bob.id.as_str()): {},
        } })
    );
}

#[tokio::test]
async fn shows_the_user_signing_key_to_its_owner_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let keys = CrossSigning::new(&alice.id).upload();
    upload_signing_keys(&alice, keys.clone()).await.ok();
    let own = keys_of(&alice, &alice.id).await;
    let others = keys_of(&bob, &alice.id).await;
    for told in [&own, &others] {
        assert_eq!(
            told["master_keys"][&alice.id]["keys"],
            keys["master_key"]["keys"]
        );
        assert_eq!(
            told["self_signing_keys"][&alice.id],
            keys["self_signing_key"]
        );
    }
    assert_eq!(
        own["user_signing_keys"][&alice.id],
        keys["user_signing_key"]
    );
    assert_eq!(others.get("user_signing_keys"), None);
    let of_bob = keys_of(&alice, &bob.id).await;
    assert_eq!(of_bob.get("user_signing_keys"), None);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_as_a_failure() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    DeviceIdentity::publish(&alice, 0).await;
    let body = json!({ "timeout": 2_000, "device_keys": {
        (alice.id.as_str()): [],
        "@bob:127.0.0.1:1": [],
    } });
    let told = query(&alice, body).await.ok();
    assert!(told["failures"]["127.0.0.1:1"].is_object(), "{told}");
    assert_eq!(told["device_keys"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn refuses_lists_that_are_none_and_too_many_users() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let id = alice.id.as_str();
    for wrong in [
        json!({ (id): {} }),
        json!({ (id): "x" }),
        json!([id]),
        json!({ (id): [1] }),
    ] {
        let answer = query(&alice, json!({ "device_keys": wrong })).await;
        answer.error(400, "M_BAD_JSON");
    }
    let answer = query(&alice, json!({ "device_keys": { "alice": [] } })).await;
    assert_eq!(answer.status, 400);
    query(&alice, json!({})).await.error(400, "M_MISSING_PARAM");
    let users = (0..10_001).map(|number| (format!("@u{number}:test.example"), json!([])));
    let users: serde_json::Map<_, _> = users.collect();
    let answer = query(&alice, json!({ "device_keys": users })).await;
    answer.error(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn a_hundred_users_at_once() {
    let server = TestServer::start().await;
    let mut wanted = serde_json::Map::new();
    let mut expected = serde_json::Map::new();
    let mut people = Vec::new();
    for number in 0..100 {
        let user = server.register(&format!("user{number}")).await;
        let identity = DeviceIdentity::new(&user);
        let keys = identity.device_keys();
        upload(&user, json!({ "device_keys": keys })).await.ok();
        wanted.insert(user.id.clone(), json!([]));
        expected.insert(user.id.clone(), json!({ (user.device_id.as_str()): keys }));
        people.push(user);
    }
    for _ in 0..2 {
        let told = query(&people[0], json!({ "device_keys": wanted }))
            .await
            .ok();
        assert_eq!(told["device_keys"], json!(expected));
    }
}
