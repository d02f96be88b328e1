//! Devices and keys of users of other servers: what is kept, what is told, and what is not believed.

use std::time::Duration;

use matryx_entity::device_list::{DeviceList, DeviceListState};
use ruma::UserId;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    matrix::{join, two, until},
    pair::Peer,
    partner::Partner,
};
use crate::{
    support::{CrossSigning, DeviceIdentity, TestUser, encode},
    sync::device_lists::{changed, encrypted_room, left, log_in, now, told},
};

pub(super) const UPDATE: &str = "m.device_list_update";
pub(super) const SIGNING: &str = "m.signing_key_update";

/// The answer to a client that asks for the keys of a user.
pub(super) async fn query(user: &TestUser, whose: &str) -> Value {
    let body = json!({ "timeout": 20_000, "device_keys": { whose: [] } });
    let query = user.post("/_matrix/client/v3/keys/query").json(&body);
    query.send().await.ok()
}

/// Is there nothing in an object that may be missing?
pub(super) fn is_nothing(object: &Value) -> bool {
    object.as_object().is_none_or(serde_json::Map::is_empty)
}

/// The devices of a user whose keys a client gets.
pub(super) async fn devices(user: &TestUser, whose: &str) -> Vec<String> {
    let answer = query(user, whose).await;
    assert!(is_nothing(&answer["failures"]), "{answer}");
    let devices = answer["device_keys"][whose].as_object();
    devices.map_or(Vec::new(), |devices| devices.keys().cloned().collect())
}

/// Once a user is told that these changed. The moment after.
async fn until_changed(user: &TestUser, since: &str, who: &TestUser) -> String {
    let what = format!("{} is told of {}", user.id, who.id);
    until(&what, async || told(user, since).await.0 == changed(&[who])).await;
    told(user, since).await.1
}

pub(super) async fn kept(peer: &Peer, user: &str) -> Option<DeviceList> {
    let user = <&UserId>::try_from(user).unwrap();
    let list = peer.server.app.store.get(&DeviceList::key_of(user)).await;
    list.unwrap()
}

async fn is_fresh(peer: &Peer, user: &str) -> bool {
    let list = kept(peer, user).await;
    list.is_some_and(|list| matches!(list.state, DeviceListState::Fresh { .. }))
}

fn sorted(devices: &[&str]) -> Vec<String> {
    let mut devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
    devices.sort_unstable();
    devices
}

async fn leave(user: &TestUser, room: &str) {
    let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(room));
    user.post(&path).json(&json!({})).send().await.ok();
}

#[tokio::test]
async fn a_device_that_comes_changes_or_goes_is_seen_elsewhere() {
    let (here, there, alice, bob) = two().await;
    DeviceIdentity::publish(&bob, 0).await;
    let room = encrypted_room(&alice).await;
    let since = now(&alice).await;
    join(&bob, &room, &here).await.ok();
    let since = until_changed(&alice, &since, &bob).await;
    assert_eq!(devices(&alice, &bob.id).await, [bob.device_id.as_str()]);
    assert!(is_fresh(&here, &bob.id).await);

    let phone = log_in(&there.server, &bob).await;
    DeviceIdentity::publish(&phone, 0).await;
    until("two devices", async || {
        devices(&alice, &bob.id).await.len() == 2
    })
    .await;
    let since = until_changed(&alice, &since, &bob).await;
    let both = sorted(&[&bob.device_id, &phone.device_id]);
    assert_eq!(devices(&alice, &bob.id).await, both);
    // Change by change, and nothing was asked for again.
    let of_bob = kept(&there, &bob.id).await.unwrap().stream_id;
    assert_eq!(kept(&here, &bob.id).await.unwrap().stream_id, of_bob);
    assert!(is_fresh(&here, &bob.id).await);

    phone.post("/_matrix/client/v3/logout").send().await.ok();
    until_changed(&alice, &since, &bob).await;
    assert_eq!(devices(&alice, &bob.id).await, [bob.device_id.as_str()]);
}

#[tokio::test]
async fn who_comes_into_a_room_knows_the_devices_there() {
    let (here, _there, alice, bob) = two().await;
    DeviceIdentity::publish(&alice, 0).await;
    DeviceIdentity::publish(&bob, 0).await;
    let room = encrypted_room(&alice).await;
    join(&bob, &room, &here).await.ok();
    assert_eq!(devices(&bob, &alice.id).await, [alice.device_id.as_str()]);
    until("alice sees bob", async || {
        devices(&alice, &bob.id).await == [bob.device_id.as_str()]
    })
    .await;
    let since = now(&bob).await;
    let phone = log_in(&here.server, &alice).await;
    DeviceIdentity::publish(&phone, 0).await;
    until("two devices", async || {
        devices(&bob, &alice.id).await.len() == 2
    })
    .await;
    until_changed(&bob, &since, &alice).await;
}

#[tokio::test]
async fn cross_signing_keys_are_seen_elsewhere_and_so_is_their_reset() {
    let (here, _there, alice, bob) = two().await;
    DeviceIdentity::publish(&bob, 0).await;
    let room = encrypted_room(&alice).await;
    join(&bob, &room, &here).await.ok();
    until("bob's device", async || {
        !devices(&alice, &bob.id).await.is_empty()
    })
    .await;
    for nth in 0..2 {
        let since = now(&alice).await;
        let keys = CrossSigning::new(&bob.id);
        let mut body = keys.upload();
        if nth > 0 {
            body["auth"] = json!({
                "type": "m.login.password",
                "identifier": { "type": "m.id.user", "user": bob.id },
                "password": TestUser::PASSWORD,
            });
        }
        let upload = bob.post("/_matrix/client/v3/keys/device_signing/upload");
        upload.json(&body).send().await.ok();
        until_changed(&alice, &since, &bob).await;
        let seen = query(&alice, &bob.id).await;
        let of_bob = |list: &str| seen[list][&bob.id]["keys"].clone();
        assert_eq!(of_bob("master_keys"), body["master_key"]["keys"]);
        assert_eq!(
            of_bob("self_signing_keys"),
            body["self_signing_key"]["keys"]
        );
        assert!(is_nothing(&seen["user_signing_keys"]));
    }
}

#[tokio::test]
async fn a_change_that_was_missed_is_found_when_a_room_is_shared_again() {
    let (here, there, alice, bob) = two().await;
    DeviceIdentity::publish(&bob, 0).await;
    let room = encrypted_room(&alice).await;
    join(&bob, &room, &here).await.ok();
    until("bob's device", async || {
        !devices(&alice, &bob.id).await.is_empty()
    })
    .await;
    let since = now(&alice).await;
    leave(&bob, &room).await;
    until("bob is gone", async || {
        told(&alice, &since).await.0 == left(&[&bob])
    })
    .await;
    let phone = log_in(&there.server, &bob).await;
    DeviceIdentity::publish(&phone, 0).await;
    let number = kept(&here, &bob.id).await.unwrap().stream_id;
    assert_ne!(kept(&there, &bob.id).await.unwrap().stream_id, number);

    let since = now(&alice).await;
    join(&bob, &room, &here).await.ok();
    until_changed(&alice, &since, &bob).await;
    let both = sorted(&[&bob.device_id, &phone.device_id]);
    assert_eq!(devices(&alice, &bob.id).await, both);
}

#[tokio::test]
async fn a_user_with_whom_no_room_is_shared_is_asked_for_each_time() {
    let (_here, there, alice, bob) = two().await;
    DeviceIdentity::publish(&bob, 1).await;
    assert_eq!(devices(&alice, &bob.id).await, [bob.device_id.as_str()]);
    let phone = log_in(&there.server, &bob).await;
    DeviceIdentity::publish(&phone, 0).await;
    let both = sorted(&[&bob.device_id, &phone.device_id]);
    assert_eq!(devices(&alice, &bob.id).await, both);
    let one = json!({ "device_keys": { (bob.id.as_str()): [phone.device_id] } });
    let one = alice.post("/_matrix/client/v3/keys/query").json(&one);
    let one = one.send().await.ok();
    assert_eq!(one["device_keys"][&bob.id].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn one_time_keys_are_claimed_elsewhere() {
    let (_here, _there, alice, bob) = two().await;
    DeviceIdentity::publish(&bob, 1).await;
    let claim = json!({ "one_time_keys": {
        (bob.id.as_str()): { (bob.device_id.as_str()): "signed_curve25519" },
    }});
    let claim = async || {
        let request = alice.post("/_matrix/client/v3/keys/claim").json(&claim);
        request.send().await.ok()
    };
    let claimed = claim().await;
    assert!(is_nothing(&claimed["failures"]), "{claimed}");
    let key = &claimed["one_time_keys"][&bob.id][&bob.device_id];
    assert_eq!(key.as_object().unwrap().len(), 1, "{claimed}");
    let again = claim().await;
    assert!(again["one_time_keys"][&bob.id][&bob.device_id].is_null());
}

#[tokio::test]
async fn a_server_that_is_away_is_a_failure_and_delays_nobody() {
    let (here, there, alice, bob) = two().await;
    DeviceIdentity::publish(&alice, 0).await;
    DeviceIdentity::publish(&bob, 0).await;
    let room = encrypted_room(&alice).await;
    join(&bob, &room, &here).await.ok();
    let mut silent = Partner::start().await;
    let (of_silent, of_bob) = (silent.user("eve"), bob.id.as_str());
    silent.vanish().await;
    let body = json!({ "timeout": 5_000, "device_keys": {
        (alice.id.as_str()): [], (of_bob): [], (of_silent.as_str()): [],
    }});
    let query = alice.post("/_matrix/client/v3/keys/query").json(&body);
    let answer = query.send().await.ok();
    assert_eq!(
        answer["device_keys"][&alice.id].as_object().unwrap().len(),
        1
    );
    assert_eq!(answer["device_keys"][of_bob].as_object().unwrap().len(), 1);
    let failures = answer["failures"].as_object().unwrap();
    assert_eq!(failures.keys().collect::<Vec<_>>(), [silent.name.as_str()]);
    let claims = json!({ "one_time_keys": { (of_silent.as_str()): { "D": "signed_curve25519" } } });
    let claim = alice.post("/_matrix/client/v3/keys/claim").json(&claims);
    let claimed = claim.send().await.ok();
    assert!(claimed["failures"][silent.name.as_str()].is_object());

    // What is kept is told, wherever its server is.
    there.open.close().await;
    assert_eq!(devices(&alice, of_bob).await.len(), 1);
}

#[tokio::test]
async fn a_change_that_was_missed_while_we_were_away_is_found_when_we_are_back() {
    let (_here, there, alice, bob) = two().await;
    DeviceIdentity::publish(&bob, 0).await;
    let room = encrypted_room(&bob).await;
    join(&alice, &room, &there).await.ok();
    assert_eq!(devices(&alice, &bob.id).await, [bob.device_id.as_str()]);
    leave(&alice, &room).await;
    let gone = async || {
        let members = bob.get(&format!(
            "/_matrix/client/v3/rooms/{}/joined_members",
            encode(&room)
        ));
        members.send().await.ok()["joined"]
            .as_object()
            .unwrap()
            .len()
            == 1
    };
    until("alice is gone", gone).await;
    let phone = log_in(&there.server, &bob).await;
    DeviceIdentity::publish(&phone, 0).await;
    let since = now(&alice).await;
    join(&alice, &room, &there).await.ok();
    let (news, _) = told(&alice, &since).await;
    assert!(news.has_changed(&bob.id), "{news:?}");
    let both = sorted(&[&bob.device_id, &phone.device_id]);
    assert_eq!(devices(&alice, &bob.id).await, both);
}

#[tokio::test]
async fn nobody_waits_longer_for_a_silent_server_than_they_want() {
    let here = Peer::start().await;
    let alice = here.server.register("alice").await;
    // Nobody accepts what the system has let in.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = silent.local_addr().unwrap().to_string();
    let eve = format!("@eve:{name}");
    for (path, body) in [
        (
            "query",
            json!({ "timeout": 100, "device_keys": { (eve.as_str()): [] } }),
        ),
        (
            "claim",
            json!({ "timeout": 100, "one_time_keys": {
                (eve.as_str()): { "D": "signed_curve25519" },
            }}),
        ),
    ] {
        let path = format!("/_matrix/client/v3/keys/{path}");
        let answer = alice.post(&path).json(&body).send();
        let answer = timeout(Duration::from_secs(5), answer).await;
        let answer = answer.unwrap().ok();
        assert!(answer["failures"][&name].is_object(), "{answer}");
    }
}
