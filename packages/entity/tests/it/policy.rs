//! Which rooms have a policy server, and what its signature is good for.

use matryx_entity::{pdu::Pdu, policy::Policy, room_versions};
use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{Ed25519KeyPair, hash_and_sign_event},
};
use serde_json::{Value, json};

use crate::world::{World, template};

const SERVER: &str = "policy.org";

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate();
    Ed25519KeyPair::from_der(&document, "policy_server".to_owned()).unwrap()
}

fn content(key: &Ed25519KeyPair) -> Value {
    let public: Base64 = Base64::new(key.public_key().to_vec());
    json!({ "via": SERVER, "public_keys": { "ed25519": public } })
}

/// A room with a policy server, which is in it.
fn world(version: &str, content: &Value) -> World {
    let mut world = World::new(&version.try_into().unwrap());
    world.join("@bot:policy.org").unwrap();
    world.state("alice", "m.room.policy", "", content).unwrap();
    world
}

/// The signature of the policy server for an event.
fn signature(key: &Ed25519KeyPair, pdu: &Pdu, world: &World) -> String {
    let mut object: CanonicalJsonObject = serde_json::from_str(pdu.json()).unwrap();
    hash_and_sign_event(SERVER, key, &mut object, &world.rules.redaction).unwrap();
    let object = serde_json::to_value(object).unwrap();
    let signature = &object["signatures"][SERVER]["ed25519:policy_server"];
    signature.as_str().unwrap().to_owned()
}

#[test]
fn a_room_has_the_policy_server_that_it_names_and_that_is_there() {
    let key = key();
    let good = content(&key);
    assert!(Policy::of(&world("11", &good).room).is_some());
    for (field, wrong) in [
        ("via", json!("not here.org")),
        ("via", json!("elsewhere.org")),
        ("via", json!(1)),
        ("public_keys", json!({})),
        ("public_keys", json!({ "ed25519": "c2hvcnQ" })),
        (
            "public_keys",
            json!({ "rsa": good["public_keys"]["ed25519"] }),
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = wrong;
        assert!(Policy::of(&world("11", &bad).room).is_none(), "{bad}");
    }
    let mut gone = world("11", &good);
    gone.member("@bot:policy.org", "@bot:policy.org", "leave")
        .unwrap();
    assert!(Policy::of(&gone.room).is_none());
    assert!(Policy::of(&World::new(&"11".try_into().unwrap()).room).is_none());
}

#[test]
fn an_event_is_checked_by_the_key_of_the_room() {
    for version in &room_versions::SUPPORTED {
        let (ours, other) = (key(), key());
        let mut world = world(version.as_str(), &content(&ours));
        let policy = Policy::of(&world.room).unwrap();
        let message = template("m.room.message", None, &json!({ "body": "hello" }));
        let pdu = world.build("alice", message).unwrap();
        assert!(policy.check(&pdu, &world.room).is_err());
        let forged = signature(&other, &pdu, &world);
        assert!(policy.sign(&pdu, &forged, &world.room).is_err());
        let good = signature(&ours, &pdu, &world);
        let signed = policy.sign(&pdu, &good, &world.room).unwrap();
        policy.check(&signed, &world.room).unwrap();
        assert_eq!(signed.event_id(), pdu.event_id());
        // Nobody else's signature got lost.
        let own: Value = serde_json::from_str(pdu.json()).unwrap();
        let both: Value = serde_json::from_str(signed.json()).unwrap();
        assert_eq!(
            own["signatures"]["here.org"],
            both["signatures"]["here.org"]
        );
        // A signature is for one event.
        let message = template("m.room.message", None, &json!({ "body": "other" }));
        let another = world.build("alice", message).unwrap();
        assert!(policy.sign(&another, &good, &world.room).is_err());
    }
}

#[test]
fn a_room_can_get_rid_of_its_policy_server() {
    let mut world = world("12", &content(&key()));
    let policy = Policy::of(&world.room).unwrap();
    let removal = template("m.room.policy", Some(""), &json!({}));
    let removal = world.build("alice", removal).unwrap();
    policy.check(&removal, &world.room).unwrap();
    // Nothing else of the kind goes without it.
    let user = template("m.room.policy", Some("x"), &json!({}));
    let user = world.build("alice", user).unwrap();
    assert!(policy.check(&user, &world.room).is_err());
    let message = template("m.room.policy", None, &json!({}));
    let message = world.build("alice", message).unwrap();
    assert!(policy.check(&message, &world.room).is_err());
}
