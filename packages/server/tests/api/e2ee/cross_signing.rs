//! `POST /_matrix/client/v3/keys/device_signing/upload`

use serde_json::{Value, json};

use super::{keys_of, upload_signing_keys};
use crate::{
    account::{challenge, password_stage},
    support::{CrossSigning, DeviceIdentity, SigningKey, TestServer, TestUser},
};

/// Uploads with the proof that is asked for.
async fn replace(user: &TestUser, mut keys: Value) {
    let asked = challenge(&upload_signing_keys(user, keys.clone()).await);
    keys["auth"] = password_stage(&user.id, TestUser::PASSWORD, &asked["session"]);
    upload_signing_keys(user, keys).await.ok();
}

#[tokio::test]
async fn the_first_keys_need_no_proof_and_others_do() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let first = CrossSigning::new(&alice.id).upload();
    upload_signing_keys(&alice, first.clone()).await.ok();
    // The same once more, whole or in part.
    upload_signing_keys(&alice, first.clone()).await.ok();
    let part = json!({ "master_key": first["master_key"] });
    upload_signing_keys(&alice, part).await.ok();
    let second = CrossSigning::new(&alice.id).upload();
    challenge(&upload_signing_keys(&alice, second.clone()).await);
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(told["master_keys"][&alice.id], first["master_key"]);
    let asked = challenge(&upload_signing_keys(&alice, second.clone()).await);
    let mut wrong = second.clone();
    wrong["auth"] = password_stage(&alice.id, "wrong", &asked["session"]);
    let refused = challenge(&upload_signing_keys(&alice, wrong).await);
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
    // The proof is good for the keys that it was asked for.
    let mut others = CrossSigning::new(&alice.id).upload();
    others["auth"] = password_stage(&alice.id, TestUser::PASSWORD, &asked["session"]);
    let answer = upload_signing_keys(&alice, others).await;
    answer.error(403, "M_FORBIDDEN");
    replace(&alice, second.clone()).await;
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(told["master_keys"][&alice.id], second["master_key"]);
    assert_eq!(
        told["self_signing_keys"][&alice.id],
        second["self_signing_key"]
    );
    assert_eq!(
        told["user_signing_keys"][&alice.id],
        second["user_signing_key"]
    );
}

#[tokio::test]
async fn a_new_key_beside_a_known_master_key_needs_proof() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigning::new(&alice.id);
    let all = keys.upload();
    let master = json!({ "master_key": all["master_key"] });
    upload_signing_keys(&alice, master).await.ok();
    let others = json!({
        "self_signing_key": all["self_signing_key"],
        "user_signing_key": all["user_signing_key"],
    });
    replace(&alice, others).await;
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(
        told["self_signing_keys"][&alice.id],
        all["self_signing_key"]
    );
}

#[tokio::test]
async fn another_master_key_ends_what_the_old_one_signed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let old = CrossSigning::new(&alice.id).upload();
    upload_signing_keys(&alice, old).await.ok();
    let new = CrossSigning::new(&alice.id).upload();
    replace(&alice, json!({ "master_key": new["master_key"] })).await;
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(told["master_keys"][&alice.id], new["master_key"]);
    assert_eq!(told.get("self_signing_keys"), None);
    assert_eq!(told.get("user_signing_keys"), None);
}

#[tokio::test]
async fn refuses_keys_that_the_master_key_did_not_sign() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigning::new(&alice.id);
    let good = keys.upload();
    let mut unsigned = good.clone();
    unsigned["self_signing_key"] = keys.self_signing.published("self_signing");
    let mut by_another = keys.self_signing.published("self_signing");
    SigningKey::for_cross_signing(&alice.id).sign(&mut by_another);
    let mut elsewhere = good.clone();
    elsewhere["self_signing_key"] = by_another;
    for bad in [unsigned, elsewhere] {
        let answer = upload_signing_keys(&alice, bad).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let mut forged = good.clone();
    forged["user_signing_key"]["signatures"] = good["self_signing_key"]["signatures"].clone();
    let answer = upload_signing_keys(&alice, forged).await;
    answer.error(400, "M_INVALID_SIGNATURE");
    let mut alone = good.clone();
    alone.as_object_mut().unwrap().remove("master_key");
    let answer = upload_signing_keys(&alice, alone).await;
    answer.error(400, "M_MISSING_PARAM");
    let answer = upload_signing_keys(&alice, json!({})).await;
    answer.error(400, "M_MISSING_PARAM");
    assert_eq!(keys_of(&alice, &alice.id).await.get("master_keys"), None);
}

#[tokio::test]
async fn refuses_what_has_not_the_form_of_a_key() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let key = SigningKey::for_cross_signing(&alice.id);
    let good = key.published("master");
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        bad
    };
    let other = SigningKey::for_cross_signing(&alice.id).public;
    let mut two = good["keys"].clone();
    two[format!("ed25519:{other}")] = json!(other);
    for bad in [
        SigningKey::for_cross_signing("@bob:test.example").published("master"),
        key.published("self_signing"),
        with("usage", json!(["master", "self_signing"])),
        with("usage", json!("master")),
        with("keys", json!({})),
        with("keys", two),
        with("keys", json!({ "ed25519:short": "short" })),
        with("keys", json!({ (format!("ed25519:{other}")): key.public })),
        with("keys", json!({ (format!("curve25519:{other}")): other })),
    ] {
        let answer = upload_signing_keys(&alice, json!({ "master_key": bad })).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let huge = with("extra", json!("x".repeat(40_000)));
    let answer = upload_signing_keys(&alice, json!({ "master_key": huge })).await;
    answer.error(413, "M_TOO_LARGE");
    let answer = upload_signing_keys(&alice, json!({ "master_key": [] })).await;
    answer.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn refuses_a_key_that_has_the_name_of_a_device() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigning::new(&alice.id);
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.id },
        "password": TestUser::PASSWORD,
        "device_id": keys.self_signing.public,
    });
    let request = server.post("/_matrix/client/v3/login").json(&login);
    request.send().await.ok();
    let answer = upload_signing_keys(&alice, keys.upload()).await;
    answer.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn keeps_the_signatures_that_can_be_believed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let identity = DeviceIdentity::publish(&alice, 0).await;
    let keys = CrossSigning::new(&alice.id);
    let mut all = keys.upload();
    identity.key.sign(&mut all["master_key"]);
    let expected = all["master_key"].clone();
    let stranger = SigningKey::for_cross_signing(&alice.id);
    stranger.sign(&mut all["master_key"]);
    SigningKey::for_cross_signing("@bob:test.example").sign(&mut all["master_key"]);
    upload_signing_keys(&alice, all).await.ok();
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(told["master_keys"][&alice.id], expected);
}

#[tokio::test]
async fn an_empty_upload_beside_known_keys_changes_nothing() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigning::new(&alice.id).upload();
    upload_signing_keys(&alice, keys.clone()).await.ok();
    upload_signing_keys(&alice, json!({})).await.ok();
    let told = keys_of(&alice, &alice.id).await;
    assert_eq!(told["master_keys"][&alice.id], keys["master_key"]);
}
