//! `/_matrix/key/v2`: what servers publish, and what notaries hand on.

use std::time::Duration;

use matryx_entity::server_keys::ServerKeys;
use serde_json::{Value, json};

use super::pair::Peer;
use crate::support::TestServer;

const SERVER: &str = "/_matrix/key/v2/server";
const QUERY: &str = "/_matrix/key/v2/query";

/// The keys in an answer, which must be signed by their server.
fn parse(peer: &Peer, answer: &Value) -> ServerKeys {
    let now = peer.server.app.clock.now();
    ServerKeys::parse(&answer.to_string(), &peer.name, now).unwrap()
}

#[tokio::test]
async fn publishes_a_key_that_signs_itself() {
    let peer = Peer::start().await;
    let answer = peer.server.get(SERVER).send().await.ok();
    let keys = parse(&peer, &answer);
    let id = format!("ed25519:{}", peer.key.pair.version());
    assert_eq!(keys.keys[&id].key.as_bytes(), peer.key.pair.public_key());
    assert_eq!(answer["old_verify_keys"], json!({}));
    let now = u64::from(peer.server.app.clock.now().0);
    let valid_until = answer["valid_until_ts"].as_u64().unwrap();
    assert!(valid_until > now && valid_until <= now + 24 * 3_600_000);
}

#[tokio::test]
async fn hands_on_the_keys_of_others_with_both_signatures() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let name = two.name.as_str();
    let path = format!("{QUERY}/{}", crate::support::encode(name));
    let answer = one.server.get(&path).send().await.ok();
    let [keys] = &answer["server_keys"].as_array().unwrap()[..] else {
        panic!("{answer}");
    };
    parse(&two, keys);
    for signer in [&one, &two] {
        let signatures = &keys["signatures"][signer.name.as_str()];
        let id = format!("ed25519:{}", signer.key.pair.version());
        assert!(signatures[id].is_string(), "{keys}");
    }

    let id = format!("ed25519:{}", two.key.pair.version());
    let body = json!({ "server_keys": {
        name: { id: { "minimum_valid_until_ts": 1 } },
        one.name.as_str(): {},
        "127.0.0.1:1": {},
    }});
    let answer = one.server.post(QUERY).json(&body).send().await.ok();
    let mut names: Vec<_> = answer["server_keys"].as_array().unwrap().iter().collect();
    names.sort_by_key(|keys| keys["server_name"] == name);
    assert_eq!(names.len(), 2, "{answer}");
    parse(&one, names[0]);
    parse(&two, names[1]);
}

#[tokio::test]
async fn a_notary_helps_out_when_a_server_is_gone() {
    let (notary, gone) = tokio::join!(Peer::start(), Peer::start());
    let path = format!("{QUERY}/{}", crate::support::encode(&gone.name));
    notary.server.get(&path).send().await.ok();
    let trusted = notary.name.to_string();
    let one =
        Peer::start_with(|builder| builder.set("federation.trusted_key_servers", trusted)).await;
    let Peer {
        name, key, open, ..
    } = gone;
    open.close().await;

    let answer = one.server.get(&path).send().await.ok();
    assert_eq!(answer["server_keys"][0]["server_name"], name.as_str());
    let id = format!("ed25519:{}", key.pair.version());
    assert!(
        answer["server_keys"][0]["verify_keys"][id].is_object(),
        "{answer}"
    );
    // Whoever trusts nobody learns nothing.
    let other = Peer::start().await;
    let answer = other.server.get(&path).send().await.ok();
    assert_eq!(answer, json!({ "server_keys": [] }));
}

#[tokio::test]
async fn keys_survive_a_restart_of_the_memory() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let path = format!("{QUERY}/{}", crate::support::encode(&two.name));
    one.server.get(&path).send().await.ok();
    let stored: Option<ServerKeys> = one
        .server
        .app
        .store
        .get(&ServerKeys::key_of(&two.name))
        .await
        .unwrap();
    let stored = stored.unwrap();
    assert_eq!(stored.server_name, two.name);
    let later = matryx_entity::server_keys::later(stored.valid_until_ts, Duration::from_millis(1));
    let id = stored.keys.keys().next().unwrap();
    assert!(stored.lookup(id, stored.valid_until_ts).is_some());
    assert!(stored.lookup(id, later).is_none());
}

#[tokio::test]
async fn questions_that_are_none_are_refused() {
    let server = TestServer::start().await;
    server
        .get(&format!("{QUERY}/a%2Fb"))
        .send()
        .await
        .error(400, "M_INVALID_PARAM");
    server
        .post(QUERY)
        .json(&json!({}))
        .send()
        .await
        .error(400, "M_MISSING_PARAM");
    let body = json!({ "server_keys": { "a/b": {} } });
    server
        .post(QUERY)
        .json(&body)
        .send()
        .await
        .error(400, "M_BAD_JSON");
}
