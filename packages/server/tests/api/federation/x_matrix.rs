//! Who may call: bad signatures, wrong destinations, replays, and keys that can't be had.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use futures_util::future::join_all;
use http::Method;
use matryx_server::clock::Stopwatch;
use ruma::{OwnedServerName, server_name};

use super::pair::Peer;

const ERROR: &str = "M_UNAUTHORIZED";

/// A server with a user, another one that calls it, and the path of the user's profile.
async fn peers() -> (Peer, Peer, String) {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let user = crate::support::encode(&alice.id);
    let path = format!("/_matrix/federation/v1/query/profile?user_id={user}");
    (one, two, path)
}

#[tokio::test]
async fn answers_whoever_signed() {
    let (one, two, path) = peers().await;
    let header = two.sign(&Method::GET, &path, b"", &one.name);
    let answer = one.get_as(&path, &header).send().await.ok();
    assert_eq!(answer["displayname"], "alice");
    // Older servers name no destination, and quote in their own ways.
    let text = header.to_string();
    let without = text.replace(&format!(r#"destination="{}","#, one.name), "");
    assert!(!without.contains("destination"));
    one.get_as(&path, &without).send().await.ok();
    one.get_as(&path, &text.replace('"', "")).send().await.ok();
    let shouted = text
        .replace("origin=", "ORIGIN = ")
        .replace("X-Matrix", "x-MATRIX");
    one.get_as(&path, &shouted).send().await.ok();
    // A body counts, also where no endpoint looks at it.
    let header = two.sign(&Method::GET, &path, br#"{"a":1}"#, &one.name);
    one.get_as(&path, &header)
        .bytes(r#"{"a": 1}"#)
        .send()
        .await
        .ok();
}

#[tokio::test]
async fn refuses_a_request_without_a_signature_or_with_a_damaged_one() {
    let (one, two, path) = peers().await;
    one.server.get(&path).send().await.error(401, ERROR);
    let good = two.sign(&Method::GET, &path, b"", &one.name).to_string();
    let (start, sig) = good.rsplit_once("sig=").unwrap();
    let forged = STANDARD_NO_PAD.encode([7; 64]);
    for header in [
        format!("Bearer {sig}"),
        start.to_owned(),
        format!("{start}sig=AAAA"),
        format!("{start}sig={forged}"),
        format!("{good},sig={forged}"),
        format!("{good},origin=other.test"),
        good.replace(two.key.pair.version(), "other"),
        good.replace("ed25519:", "rsa:"),
        good.replace(two.name.as_str(), one.name.as_str()),
        good.replace(two.name.as_str(), "no/name"),
    ] {
        one.get_as(&path, &header).send().await.error(401, ERROR);
    }
    one.get_as(&path, &good).send().await.ok();
}

#[tokio::test]
async fn refuses_what_was_signed_for_something_else() {
    let (one, two, path) = peers().await;
    let elsewhere = two.sign(&Method::GET, &path, b"", server_name!("other.test"));
    one.get_as(&path, &elsewhere).send().await.error(401, ERROR);
    // Relabelled, or with the label taken off, it is still not ours.
    let text = elsewhere.to_string();
    let ours = format!("\"{}\"", one.name);
    let relabelled = text.replace("other.test", &ours);
    one.get_as(&path, &relabelled)
        .send()
        .await
        .error(401, ERROR);
    let unlabelled = text.replace("destination=other.test,", "");
    one.get_as(&path, &unlabelled)
        .send()
        .await
        .error(401, ERROR);

    let header = two.sign(&Method::GET, &path, b"", &one.name);
    let other = path.replace("alice", "bob");
    for replayed in [
        &other,
        &format!("{path}&field=displayname"),
        &path.replace("%3A", ":"),
        "/_matrix/federation/v1/query/directory?room_alias=%23a%3Ab",
    ] {
        one.get_as(replayed, &header).send().await.error(401, ERROR);
    }
    let with_body = one.get_as(&path, &header).bytes("{}");
    with_body.send().await.error(401, ERROR);
    let put = two.sign(&Method::PUT, &path, b"", &one.name);
    one.get_as(&path, &put).send().await.error(401, ERROR);
    let changed = two.sign(&Method::GET, &path, br#"{"a":1}"#, &one.name);
    one.get_as(&path, &changed)
        .bytes(r#"{"a":2}"#)
        .send()
        .await
        .error(401, ERROR);
}

#[tokio::test]
async fn a_body_that_cannot_be_signed_is_not_json() {
    let (one, two, path) = peers().await;
    let header = two.sign(&Method::GET, &path, b"", &one.name);
    for body in ["nonsense", "{\"a\":", "\u{0}"] {
        let answer = one.get_as(&path, &header).bytes(body).send().await;
        answer.error(400, "M_NOT_JSON");
    }
    let fraction = one.get_as(&path, &header).bytes(r#"{"a":0.5}"#);
    fraction.send().await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn a_server_without_keys_is_refused_at_once_and_remembered() {
    let (one, two, path) = peers().await;
    // Nobody listens there.
    let gone: OwnedServerName = "127.0.0.1:1".try_into().unwrap();
    let mut header = two.sign(&Method::GET, &path, b"", &one.name);
    header.origin = gone;
    let started = Stopwatch::start();
    for _ in 0..50 {
        one.get_as(&path, &header).send().await.error(401, ERROR);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    // Others are served as before.
    let header = two.sign(&Method::GET, &path, b"", &one.name);
    one.get_as(&path, &header).send().await.ok();
}

#[tokio::test]
async fn a_thousand_servers_without_keys_hold_nobody_up() {
    let (one, two, path) = peers().await;
    let header = two.sign(&Method::GET, &path, b"", &one.name);
    let strangers = (1..=1000).map(|number| {
        let mut header = header.clone();
        header.origin = format!("127.0.0.1:{number}").try_into().unwrap();
        one.get_as(&path, &header).send()
    });
    let started = Stopwatch::start();
    let strangers = async {
        for answer in join_all(strangers).await {
            answer.error(401, ERROR);
        }
    };
    let known = async { one.get_as(&path, &header).send().await.ok() };
    tokio::join!(strangers, known);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn one_good_signature_of_several_is_enough() {
    let (one, two, path) = peers().await;
    let good = two.sign(&Method::GET, &path, b"", &one.name);
    let mut unknown = good.clone();
    unknown.key = "ed25519:other".try_into().unwrap();
    let both = one
        .get_as(&path, &unknown)
        .header("authorization", &good.to_string());
    both.send().await.ok();
    let bad = one
        .get_as(&path, &unknown)
        .header("authorization", &unknown.to_string());
    bad.send().await.error(401, ERROR);
}

#[tokio::test]
async fn a_key_counts_until_it_expires() {
    let (one, two, path) = peers().await;
    let header = two.sign(&Method::GET, &path, b"", &one.name);
    one.get_as(&path, &header).send().await.ok();
    one.server.clock.advance(Duration::from_hours(25));
    // By its own clock the other server still publishes what has expired here.
    one.get_as(&path, &header).send().await.error(401, ERROR);
    two.server.clock.advance(Duration::from_hours(25));
    one.get_as(&path, &header).send().await.error(401, ERROR);
    one.server.clock.advance(Duration::from_mins(1));
    one.get_as(&path, &header).send().await.ok();
}

#[tokio::test]
async fn a_banned_key_proves_nothing() {
    let two = Peer::start().await;
    let banned = STANDARD_NO_PAD.encode(two.key.pair.public_key());
    let one = Peer::start_with(|builder| builder.set("federation.banned_keys", banned)).await;
    let path = "/_matrix/federation/v1/query/profile?user_id=%40a%3Ab";
    let header = two.sign(&Method::GET, path, b"", &one.name);
    one.get_as(path, &header).send().await.error(401, ERROR);
}
