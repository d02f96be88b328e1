//! What servers tell each other of their users: who they are, their profiles, devices and keys.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::{Answer, CrossSigning, DeviceIdentity, TestUser, encode};

async fn get(of: &Peer, by: &Peer, uri: &str) -> Answer {
    let header = by.sign(&Method::GET, uri, b"", &of.name);
    of.get_as(uri, &header).send().await
}

async fn post(of: &Peer, by: &Peer, uri: &str, body: &Value) -> Answer {
    let header = by.sign(&Method::POST, uri, body.to_string().as_bytes(), &of.name);
    let request = of.server.post(uri);
    let request = request.header("authorization", &header.to_string());
    request.json(body).send().await
}

async fn request_token(user: &TestUser, of: &str) -> Answer {
    let path = format!(
        "/_matrix/client/v3/user/{}/openid/request_token",
        encode(of)
    );
    user.post(&path).json(&json!({})).send().await
}

async fn userinfo(peer: &Peer, token: &str) -> Answer {
    let path = "/_matrix/federation/v1/openid/userinfo";
    let request = peer.server.get(path).query("access_token", token);
    request.send().await
}

async fn close(user: &TestUser) {
    let path = "/_matrix/client/v3/account/deactivate";
    let proof = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.id },
        "password": TestUser::PASSWORD,
    });
    user.post(path)
        .json(&json!({ "auth": proof }))
        .send()
        .await
        .ok();
}

#[tokio::test]
async fn a_token_shows_who_somebody_is_and_opens_nothing() {
    let peer = Peer::start().await;
    let alice = peer.server.register("alice").await;
    let bob = peer.server.register("bob").await;
    let issued = request_token(&alice, &alice.id).await.ok();
    assert_eq!(issued["token_type"], "Bearer");
    assert_eq!(issued["matrix_server_name"], peer.name.as_str());
    assert_eq!(issued["expires_in"], 3_600);
    let token = issued["access_token"].as_str().unwrap();
    assert_eq!(
        userinfo(&peer, token).await.ok(),
        json!({ "sub": alice.id })
    );
    assert_eq!(
        userinfo(&peer, token).await.ok(),
        json!({ "sub": alice.id })
    );
    let whoami = peer.server.get("/_matrix/client/v3/account/whoami");
    let whoami = whoami.token(token).send().await;
    whoami.error(401, "M_UNKNOWN_TOKEN");
    // An access token is no such token.
    for bad in [&alice.token, "", "0", &"0".repeat(60), "ä0000000000000000"] {
        userinfo(&peer, bad).await.error(401, "M_UNKNOWN_TOKEN");
    }
    let missing = peer.server.get("/_matrix/federation/v1/openid/userinfo");
    missing.send().await.error(400, "M_MISSING_PARAM");
    request_token(&bob, &alice.id)
        .await
        .error(403, "M_FORBIDDEN");

    let of_bob = request_token(&bob, &bob.id).await.ok();
    let of_bob = of_bob["access_token"].as_str().unwrap();
    userinfo(&peer, of_bob).await.ok();
    close(&bob).await;
    userinfo(&peer, of_bob).await.error(401, "M_UNKNOWN_TOKEN");
    peer.server.clock.advance(Duration::from_secs(3_700));
    userinfo(&peer, token).await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn the_devices_of_our_own_users_only() {
    for names in [true, false] {
        let (one, two) = tokio::join!(
            Peer::start_with(
                |builder| builder.set("federation.allow_device_names", names.to_string())
            ),
            Peer::start()
        );
        let alice = one.server.register("alice").await;
        let device = encode(&alice.device_id);
        let path = format!("/_matrix/client/v3/devices/{device}");
        let name = json!({ "display_name": "the phone" });
        alice.put(&path).json(&name).send().await.ok();
        let devices = |user: &str| format!("/_matrix/federation/v1/user/devices/{}", encode(user));
        let answer = get(&one, &two, &devices(&alice.id)).await.ok();
        assert_eq!(answer["user_id"], alice.id);
        // A device without keys is none to others.
        assert_eq!(answer["devices"], json!([]));
        let before = answer["stream_id"].as_u64().unwrap();
        let identity = DeviceIdentity::publish(&alice, 0).await;
        let keys = CrossSigning::new(&alice.id).upload();
        let path = "/_matrix/client/v3/keys/device_signing/upload";
        alice.post(path).json(&keys).send().await.ok();
        let answer = get(&one, &two, &devices(&alice.id)).await.ok();
        assert_eq!(answer["stream_id"], before + 2);
        assert_eq!(answer["master_key"], keys["master_key"]);
        assert_eq!(answer["self_signing_key"], keys["self_signing_key"]);
        assert_eq!(answer.get("user_signing_key"), None);
        let listed = answer["devices"].as_array().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["device_id"], alice.device_id);
        assert_eq!(listed[0]["keys"], identity.device_keys());
        let shown = listed[0].get("device_display_name");
        assert_eq!(shown, names.then_some(&json!("the phone")));
        let query = "/_matrix/federation/v1/user/keys/query";
        let body = json!({ "device_keys": { (alice.id.as_str()): [alice.device_id] } });
        let told = post(&one, &two, query, &body).await.ok();
        let mut expected = identity.device_keys();
        if names {
            expected["unsigned"] = json!({ "device_display_name": "the phone" });
        }
        let told_device = &told["device_keys"][&alice.id][&alice.device_id];
        assert_eq!(*told_device, expected);
        assert_eq!(told["master_keys"][&alice.id], keys["master_key"]);
        assert_eq!(
            told["self_signing_keys"][&alice.id],
            keys["self_signing_key"]
        );
        assert_eq!(told.get("user_signing_keys"), None);
        for stranger in [
            "@alice:elsewhere.test",
            &format!("@nobody:{}", one.name),
            &format!("@alice:{}", two.name),
        ] {
            let answer = get(&one, &two, &devices(stranger)).await;
            answer.error(404, "M_NOT_FOUND");
        }
        close(&alice).await;
        let answer = get(&one, &two, &devices(&alice.id)).await;
        answer.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn the_keys_of_our_own_users_only() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let nobody = format!("@nobody:{}", one.name);
    let query = "/_matrix/federation/v1/user/keys/query";
    let claim = "/_matrix/federation/v1/user/keys/claim";
    let users = json!({ (alice.id.as_str()): [], (nobody.as_str()): [] });
    let answer = post(&one, &two, query, &json!({ "device_keys": users })).await;
    let told = json!({ (alice.id.as_str()): {} });
    assert_eq!(answer.ok(), json!({ "device_keys": told }));
    let keys = json!({ (alice.id.as_str()): { (alice.device_id.as_str()): "signed_curve25519" } });
    let answer = post(&one, &two, claim, &json!({ "one_time_keys": keys })).await;
    assert_eq!(answer.ok(), json!({ "one_time_keys": {} }));
    let identity = DeviceIdentity::publish(&alice, 1).await;
    let answer = post(&one, &two, claim, &json!({ "one_time_keys": keys })).await;
    let key = identity.one_time_keys(0..1);
    let device = json!({ (alice.device_id.as_str()): key });
    assert_eq!(
        answer.ok(),
        json!({ "one_time_keys": { (alice.id.as_str()): device } })
    );
    let answer = post(&one, &two, claim, &json!({ "one_time_keys": keys })).await;
    assert_eq!(answer.ok(), json!({ "one_time_keys": {} }));
    for stranger in ["@alice:elsewhere.test", &format!("@bob:{}", two.name)] {
        let users = json!({ (alice.id.as_str()): [], (stranger): [] });
        let answer = post(&one, &two, query, &json!({ "device_keys": users })).await;
        answer.error(400, "M_INVALID_PARAM");
        let keys = json!({ (stranger): { "X": "signed_curve25519" } });
        let answer = post(&one, &two, claim, &json!({ "one_time_keys": keys })).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let object = json!({ "device_keys": { (alice.id.as_str()): {} } });
    let answer = post(&one, &two, query, &object).await;
    answer.error(400, "M_BAD_JSON");
    let unsigned = one.server.post(query).json(&json!({ "device_keys": {} }));
    unsigned.send().await.error(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn the_profile_of_a_user_of_another_server() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let bob = two.server.register("bob").await;
    let own = |field: &str| format!("/_matrix/client/v3/profile/{}/{field}", encode(&alice.id));
    let set = json!({ "m.tz": "Europe/Rome" });
    alice.put(&own("m.tz")).json(&set).send().await.ok();
    let profile = format!("/_matrix/client/v3/profile/{}", encode(&alice.id));
    let whole = bob.get(&profile).send().await.ok();
    let expected = json!({ "displayname": "alice", "m.tz": "Europe/Rome" });
    assert_eq!(whole, expected);
    let name = bob.get(&own("displayname")).send().await.ok();
    assert_eq!(name, json!({ "displayname": "alice" }));
    assert_eq!(bob.get(&own("m.tz")).send().await.ok(), set);
    assert_eq!(bob.get(&own("avatar_url")).send().await.ok(), json!({}));
    let unset = bob.get(&own("org.example.none")).send().await;
    unset.error(404, "M_NOT_FOUND");
    let nobody = format!("@nobody:{}", one.name);
    let nobody = format!("/_matrix/client/v3/profile/{}", encode(nobody));
    bob.get(&nobody).send().await.error(404, "M_NOT_FOUND");
    // It is not passed on to third servers.
    let uri = format!(
        "/_matrix/federation/v1/query/profile?user_id={}",
        encode(&alice.id)
    );
    let answer = get(&two, &one, &uri).await;
    answer.error(404, "M_NOT_FOUND");
    one.open.close().await;
    bob.get(&profile).send().await.error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn a_moment_before_the_user_came_is_looked_for_elsewhere() {
    let (here, there) = tokio::join!(
        Peer::start(),
        Peer::start_at("localhost", |builder| builder)
    );
    let alice = here.server.register("alice").await;
    let bob = there.server.register("bob").await;
    let room = json!({ "preset": "public_chat", "room_version": "11" });
    let room = alice.create_room(room).await;
    let mut said = Vec::new();
    for text in ["one", "two"] {
        here.server.clock.advance(Duration::from_secs(10));
        there.server.clock.advance(Duration::from_secs(10));
        said.push(alice.say(&room, text).await);
    }
    let path = format!("/_matrix/client/v3/rooms/{}/event/", encode(&room));
    let second = alice.get(&format!("{path}{}", encode(&said[1])));
    let ts = second.send().await.ok()["origin_server_ts"]
        .as_u64()
        .unwrap();
    here.server.clock.advance(Duration::from_secs(10));
    there.server.clock.advance(Duration::from_secs(10));
    let join = format!("/_matrix/client/v3/join/{}", encode(&room));
    let join = bob.post(&join).query("via", here.name.as_str());
    join.json(&json!({})).send().await.ok();
    let near = async |user: &TestUser, ts: u64, dir: &str| {
        let room = encode(&room);
        let path = format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event");
        let request = user.get(&path).query("ts", ts.to_string());
        request.query("dir", dir).send().await
    };
    for (ts, dir) in [(ts - 5_000, "f"), (ts + 1, "b"), (ts - 1, "b"), (1, "f")] {
        let of_bob = near(&bob, ts, dir).await.ok();
        assert_eq!(of_bob, near(&alice, ts, dir).await.ok(), "{ts} {dir}");
    }
    near(&bob, 1, "b").await.error(404, "M_NOT_FOUND");
    // What came after is here.
    let newest = alice.say(&room, "three").await;
    let found = near(&alice, ts + 60_000, "b").await.ok();
    assert_eq!(found["event_id"], newest);
    here.open.close().await;
    let alone = near(&bob, ts, "f").await.ok();
    assert_ne!(alone["event_id"], said[1], "it is from before he came");
}
