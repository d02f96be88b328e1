//! Invites of third-party identifiers that turn out to be users of another server.

use http::Method;
use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{self, Ed25519KeyPair},
};
use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::{Answer, TestServer, TestUser, encode};

/// Alice's server, with a room to which she invited an address, and the server of bob, whose
/// address it is.
struct Scene {
    here: Peer,
    there: Peer,
    alice: TestUser,
    bob: TestUser,
    room: String,
    identity_key: Ed25519KeyPair,
}

impl Scene {
    async fn new() -> Self {
        let (here, there) = tokio::join!(
            Peer::start(),
            Peer::start_at("localhost", |builder| builder)
        );
        let alice = here.server.register("alice").await;
        let bob = there.server.register("bob").await;
        let room = alice.create_room(json!({ "name": "the room" })).await;
        let der = Ed25519KeyPair::generate();
        let identity_key = Ed25519KeyPair::from_der(&der, "0".to_owned()).unwrap();
        let public_key: Base64 = Base64::new(identity_key.public_key().to_vec());
        let content = json!({
            "display_name": "b...@example.org",
            "key_validity_url": "https://identity.test/valid",
            "public_key": public_key,
            "public_keys": [{ "public_key": public_key }],
        });
        let path = format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.third_party_invite/token",
            encode(&room)
        );
        alice.put(&path).json(&content).send().await.ok();
        Self {
            here,
            there,
            alice,
            bob,
            room,
            identity_key,
        }
    }

    /// What the identity server says about a user.
    fn signed(&self, user: &str, token: &str) -> Value {
        let signed = json!({ "mxid": user, "token": token });
        let mut signed: CanonicalJsonObject = serde_json::from_value(signed).unwrap();
        signatures::sign_json("identity.test", &self.identity_key, &mut signed).unwrap();
        serde_json::to_value(signed).unwrap()
    }

    async fn exchange(&self, sender: &str, user: &str, signed: &Value) -> Answer {
        let body = json!({
            "type": "m.room.member",
            "room_id": self.room,
            "sender": sender,
            "state_key": user,
            "content": {
                "membership": "invite",
                "third_party_invite": { "display_name": "bob", "signed": signed },
            },
        });
        self.exchange_this(&body).await
    }

    async fn exchange_this(&self, body: &Value) -> Answer {
        let room = encode(&self.room);
        let path = format!("/_matrix/federation/v1/exchange_third_party_invite/{room}");
        let text = body.to_string();
        let header = self
            .there
            .sign(&Method::PUT, &path, text.as_bytes(), &self.here.name);
        let request = self.here.server.put(&path);
        let request = request.header("authorization", &header.to_string());
        request.json(body).send().await
    }

    async fn bind(&self, mxid: &str, invites: Value) -> Answer {
        let body = json!({
            "medium": "email",
            "address": "bob@example.org",
            "mxid": mxid,
            "invites": invites,
        });
        let path = "/_matrix/federation/v1/3pid/onbind";
        self.there.server.put(path).json(&body).send().await
    }

    fn invite(&self, mxid: &str, signed: &Value) -> Value {
        json!({
            "medium": "email",
            "address": "bob@example.org",
            "mxid": mxid,
            "room_id": self.room,
            "sender": self.alice.id,
            "signed": signed,
        })
    }

    async fn is_invited(&self) -> bool {
        let sync = self.bob.sync(None).await;
        sync["rooms"]["invite"][&self.room].is_object()
    }
}

#[tokio::test]
async fn who_turns_out_to_be_invited_is_invited() {
    let scene = Scene::new().await;
    let bob = &scene.bob.id;
    let invite = scene.invite(bob, &scene.signed(bob, "token"));
    let answer = scene.bind(bob, json!([invite])).await.ok();
    assert_eq!(answer, json!({}));
    assert!(scene.is_invited().await);
    let (room, user) = (encode(&scene.room), encode(bob));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{user}");
    let member = scene.alice.get(&path).send().await.ok();
    assert_eq!(member["membership"], "invite");
    let invite = &member["third_party_invite"];
    assert_eq!(invite["display_name"], "b...@example.org");
    assert_eq!(invite["signed"]["mxid"], *bob);
    // Bob joins with it.
    let path = format!("/_matrix/client/v3/join/{room}");
    let join = scene.bob.post(&path).query("via", scene.here.name.as_str());
    join.json(&json!({})).send().await.ok();
}

#[tokio::test]
async fn what_the_room_did_not_ask_for_is_refused() {
    let scene = Scene::new().await;
    let (alice, bob) = (&scene.alice.id, &scene.bob.id);
    let good = scene.signed(bob, "token");
    let mallory = scene.here.server.register("mallory").await;
    let elsewhere = format!("@mallory:{}", scene.there.name);
    for (sender, user, signed, status) in [
        // Another token, a user whom the signature is not about, another inviter.
        (alice, bob, scene.signed(bob, "other"), 403),
        (alice, &elsewhere, good.clone(), 400),
        (&mallory.id, bob, good.clone(), 403),
        (&elsewhere, bob, good.clone(), 403),
        // A user of a server that did not ask.
        (alice, &mallory.id, scene.signed(&mallory.id, "token"), 403),
    ] {
        let answer = scene.exchange(sender, user, &signed).await;
        assert_eq!(answer.status, status, "{sender} {user} {signed}");
    }
    // Signed by somebody else.
    let mut forged = good.clone();
    forged["signatures"]["identity.test"]["ed25519:0"] = json!("AAAA");
    let answer = scene.exchange(alice, bob, &forged).await;
    answer.error(403, "M_FORBIDDEN");
    let mut forged = scene.signed(&elsewhere, "token");
    forged["mxid"] = json!(bob);
    let answer = scene.exchange(alice, bob, &forged).await;
    answer.error(403, "M_FORBIDDEN");

    let event = |kind: &str, content: Value| {
        json!({
            "type": kind,
            "room_id": scene.room,
            "sender": alice,
            "state_key": bob,
            "content": content,
        })
    };
    let invite = json!({ "signed": good });
    for (kind, content) in [
        ("m.room.member", json!({ "membership": "invite" })),
        (
            "m.room.member",
            json!({ "membership": "join", "third_party_invite": invite }),
        ),
        (
            "m.room.power_levels",
            json!({ "membership": "invite", "third_party_invite": invite }),
        ),
        (
            "m.room.member",
            json!({ "membership": "invite", "third_party_invite": { "signed": {} } }),
        ),
    ] {
        let answer = scene.exchange_this(&event(kind, content)).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    assert!(!scene.is_invited().await);
}

#[tokio::test]
async fn only_users_of_the_server_are_bound() {
    let scene = Scene::new().await;
    let (alice, bob) = (&scene.alice.id, &scene.bob.id);
    let answer = scene.bind(alice, json!([])).await;
    answer.error(404, "M_NOT_FOUND");
    let nobody = format!("@nobody:{}", scene.there.name);
    let answer = scene.bind(&nobody, json!([])).await;
    answer.error(404, "M_NOT_FOUND");
    let other = scene.invite(&nobody, &scene.signed(bob, "token"));
    let answer = scene.bind(bob, json!([other])).await;
    answer.error(400, "M_INVALID_PARAM");
    let invite = scene.invite(bob, &scene.signed(bob, "token"));
    let many = vec![invite; 51];
    let answer = scene.bind(bob, json!(many)).await;
    answer.error(400, "M_INVALID_PARAM");
    // One that comes to nothing is no failure of the notice.
    let unknown = scene.invite(bob, &scene.signed(bob, "other"));
    assert_eq!(scene.bind(bob, json!([unknown])).await.ok(), json!({}));
    assert!(!scene.is_invited().await);
}

#[tokio::test]
async fn nobody_makes_the_server_ask_others_without_end() {
    let server = TestServer::configure()
        .set("rate_limit.enabled", "true")
        .set("rate_limit.invite", "3 per 1h")
        .start()
        .await;
    let bob = server.register("bob").await;
    let invite = json!({
        "medium": "email",
        "address": "bob@example.org",
        "mxid": bob.id,
        "room_id": "!room:test.example",
        "sender": "@alice:test.example",
        "signed": { "mxid": bob.id, "token": "token", "signatures": {} },
    });
    let bind = async |count: usize| {
        let body = json!({
            "medium": "email",
            "address": "bob@example.org",
            "mxid": bob.id,
            "invites": vec![invite.clone(); count],
        });
        let request = server.put("/_matrix/federation/v1/3pid/onbind");
        request.json(&body).send().await
    };
    bind(2).await.ok();
    bind(2).await.error(429, "M_LIMIT_EXCEEDED");
    bind(0).await.ok();
}
