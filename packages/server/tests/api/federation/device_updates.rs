//! What other servers are told of the devices and keys of this server's users.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    device_lists::{SIGNING, UPDATE, kept},
    matrix::until,
    pair::Peer,
    partner::{Partner, Verdict},
    sender::shared_room,
};
use crate::{
    support::{CrossSigning, DeviceIdentity, TestUser},
    sync::device_lists::log_in,
};

/// Messages of a kind about a user.
fn about(partner: &Partner, kind: &str, user: &TestUser) -> Vec<Value> {
    let edus = partner.edus().into_iter();
    let edus = edus.filter(|edu| edu["edu_type"] == kind && edu["content"]["user_id"] == user.id);
    edus.map(|mut edu| edu["content"].take()).collect()
}

/// Waits for so many of them.
async fn until_about(partner: &Partner, kind: &str, user: &TestUser, count: usize) -> Vec<Value> {
    let what = format!("{count} times {kind}");
    partner
        .until(&what, |it| about(it, kind, user).len() >= count)
        .await;
    about(partner, kind, user)
}

#[tokio::test]
async fn changes_are_told_in_a_chain_without_names() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let identity = DeviceIdentity::publish(&alice, 0).await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let number = kept(&home, &alice.id).await.unwrap().stream_id;
    // Whoever comes in is told how far the list has come.
    let told = until_about(&partner, UPDATE, &alice, 1).await;
    assert_eq!(told[0]["stream_id"], number);
    assert_eq!(told[0]["prev_id"], json!([number]));
    assert_eq!(told[0]["keys"], identity.device_keys());

    let phone = log_in(&home.server, &alice).await;
    until_about(&partner, UPDATE, &alice, 2).await;
    let path = format!("/_matrix/client/v3/devices/{}", phone.device_id);
    let name = json!({ "display_name": "alice's secret phone" });
    alice.put(&path).json(&name).send().await.ok();
    let told = until_about(&partner, UPDATE, &alice, 3).await;
    assert_eq!(told[2]["device_id"], phone.device_id.as_str());
    assert!(!json!(told).to_string().contains("secret"), "{told:?}");
    phone.post("/_matrix/client/v3/logout").send().await.ok();
    let told = until_about(&partner, UPDATE, &alice, 4).await;
    for (prev, update) in told.iter().zip(&told[1..]) {
        assert_eq!(update["prev_id"], json!([prev["stream_id"]]), "{told:?}");
    }
    assert_eq!(
        (&told[3]["deleted"], &told[3]["keys"]),
        (&json!(true), &Value::Null)
    );
    let keys = CrossSigning::new(&alice.id);
    let upload = alice.post("/_matrix/client/v3/keys/device_signing/upload");
    upload.json(&keys.upload()).send().await.ok();
    let signing = until_about(&partner, SIGNING, &alice, 1).await;
    assert!(signing[0]["master_key"]["keys"].is_object(), "{signing:?}");
    assert!(signing[0]["self_signing_key"]["keys"].is_object());
    assert!(signing[0]["user_signing_key"].is_null());

    // It knows the list already.
    let bob = home.server.register("bob").await;
    let other = shared_room(&home, &bob, &[&partner]).await;
    alice.join(&other).await;
    alice.say(&other, "among us").await;
    partner.until_text("among us").await;
    until_about(&partner, UPDATE, &bob, 1).await;
    assert_eq!(about(&partner, UPDATE, &alice).len(), told.len());
    partner.leave(&home, &other, &partner.user("eve")).await;

    // Nobody else learns anything once no room is shared.
    partner.leave(&home, &room, &partner.user("eve")).await;
    partner.forget();
    log_in(&home.server, &alice).await;
    let other = shared_room(&home, &alice, &[&partner]).await;
    alice.say(&other, "done").await;
    partner.until_text("done").await;
    let told = until_about(&partner, UPDATE, &alice, 1).await;
    assert_eq!(told[0]["prev_id"], json!([told[0]["stream_id"]]));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn names_are_told_where_the_operator_allows_it() {
    let home =
        Peer::start_with(|builder| builder.set("federation.allow_device_names", "true")).await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    shared_room(&home, &alice, &[&partner]).await;
    let path = format!("/_matrix/client/v3/devices/{}", alice.device_id);
    let name = json!({ "display_name": "desk" });
    alice.put(&path).json(&name).send().await.ok();
    let named = |it: &Partner| {
        let told = about(it, UPDATE, &alice);
        told.iter()
            .any(|update| update["device_display_name"] == "desk")
    };
    partner.until("the name", named).await;
}

#[tokio::test]
async fn what_a_server_missed_it_is_told_once_it_is_back() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let alice = home.server.register("alice").await;
    let mut partner = Partner::start().await;
    DeviceIdentity::publish(&alice, 0).await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    until_about(&partner, UPDATE, &alice, 1).await;
    for long in [false, true] {
        partner.vanish().await;
        let phone = log_in(&home.server, &alice).await;
        let tablet = log_in(&home.server, &alice).await;
        let carol = home.server.register(&format!("carol{long}")).await;
        DeviceIdentity::publish(&carol, 0).await;
        carol.join(&room).await;
        phone.post("/_matrix/client/v3/logout").send().await.ok();
        let fails = async || home.server.app.sender.destinations()[0].failures > 0;
        until("a failure", fails).await;
        if long {
            // The log is gone; what has changed is known all the same.
            home.server.app.store.trim_log(1).await.unwrap();
        }
        partner.forget();
        partner.listen().await;
        partner.show_life(&home).await;
        let of_carol = until_about(&partner, UPDATE, &carol, 1).await;
        assert_eq!(of_carol[0]["prev_id"], json!([of_carol[0]["stream_id"]]));
        let of_alice = until_about(&partner, UPDATE, &alice, 1).await;
        let newest = kept(&home, &alice.id).await.unwrap().stream_id;
        assert_eq!(of_alice.last().unwrap()["stream_id"], newest);
        if !long {
            let of = |device: &TestUser| {
                let mut updates = of_alice.iter();
                let update = updates.find(|it| it["device_id"] == device.device_id.as_str());
                update.unwrap().clone()
            };
            assert_eq!(of(&phone)["deleted"], true);
            assert_eq!(of(&tablet)["deleted"], Value::Null);
        }
    }
}

#[tokio::test]
async fn updates_that_are_refused_do_not_stop_the_rest() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "50ms")).await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    until_about(&partner, UPDATE, &alice, 1).await;
    let bad = json!({ "errcode": "M_BAD_JSON", "error": "no" });
    partner.answer(Verdict::Error(StatusCode::BAD_REQUEST, bad));
    let attempts = partner.attempts();
    log_in(&home.server, &alice).await;
    partner
        .until("an attempt", |it| it.attempts() > attempts)
        .await;
    partner.answer(Verdict::Fine);
    alice.say(&room, "taken").await;
    partner.until_text("taken").await;
}
