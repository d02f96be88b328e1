//! The keys that servers publish.

use std::time::Duration;

use matryx_entity::server_keys::{MAX_KEYS, MAX_VALIDITY, ServerKeys, ServerKeysError, later};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, UInt, serde::Base64, server_name,
    signatures::sign_json,
};
use serde_json::{Value, json};

use crate::world::key_pair;

fn ts(ms: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::try_from(ms).unwrap())
}

const NOW: u64 = 1_800_000_000_000;

/// An answer with more or other fields, signed by `there.org`.
fn answer(change: &Value) -> String {
    let key = Base64::<ruma::serde::base64::Standard>::new(key_pair().public_key().to_vec());
    let mut answer = json!({
        "server_name": "there.org",
        "verify_keys": { "ed25519:1": { "key": key } },
        "old_verify_keys": {},
        "valid_until_ts": NOW + 1000,
    });
    for (name, value) in change.as_object().unwrap() {
        answer[name] = value.clone();
    }
    let mut answer: CanonicalJsonObject = serde_json::from_value(answer).unwrap();
    sign_json("there.org", &key_pair(), &mut answer).unwrap();
    serde_json::to_string(&answer).unwrap()
}

fn parse(answer: &str) -> Result<ServerKeys, ServerKeysError> {
    ServerKeys::parse(answer, server_name!("there.org"), ts(NOW))
}

#[test]
fn a_key_is_valid_until_the_answer_says_and_for_seven_days_at_most() {
    let keys = parse(&answer(&json!({}))).unwrap();
    assert!(keys.lookup("ed25519:1", ts(NOW + 1000)).is_some());
    assert!(keys.lookup("ed25519:1", ts(NOW + 1001)).is_none());
    assert!(keys.lookup("ed25519:2", ts(NOW)).is_none());
    let far = parse(&answer(&json!({ "valid_until_ts": NOW * 2 }))).unwrap();
    let last = later(ts(NOW), MAX_VALIDITY);
    assert!(far.lookup("ed25519:1", last).is_some());
    assert!(
        far.lookup("ed25519:1", later(last, Duration::from_millis(1)))
            .is_none()
    );
    // What is handed on says what the server said.
    assert_eq!(far.valid_until_ts, ts(NOW * 2));
}

#[test]
fn an_old_key_is_valid_until_it_expired() {
    let key = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";
    let old = json!({ "old_verify_keys": {
        "ed25519:0": { "key": key, "expired_ts": NOW - 1000 },
        "ed25519:short": { "key": "AAAA", "expired_ts": NOW - 1000 },
        "rsa:0": { "key": key, "expired_ts": NOW - 1000 },
    }});
    let keys = parse(&answer(&old)).unwrap();
    assert!(keys.lookup("ed25519:0", ts(NOW - 1000)).is_some());
    assert!(keys.lookup("ed25519:0", ts(NOW - 999)).is_none());
    assert_eq!(keys.keys.len(), 2);
}

#[test]
fn an_answer_must_be_signed_by_a_key_in_it() {
    assert!(parse(&answer(&json!({}))).is_ok());
    let other = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";
    for forged in [
        answer(&json!({ "verify_keys": { "ed25519:1": { "key": other } } })),
        answer(&json!({ "verify_keys": {} })),
        answer(&json!({})).replace("there.org\":{\"ed25519", "else.org\":{\"ed25519"),
        answer(&json!({})).replace(&(NOW + 1000).to_string(), &(NOW + 9000).to_string()),
    ] {
        let error = parse(&forged).unwrap_err();
        assert!(
            matches!(error, ServerKeysError::Signature(_)),
            "{forged}: {error:?}"
        );
    }
    // What a notary adds does not matter.
    let mut notarised = serde_json::from_str::<CanonicalJsonObject>(&answer(&json!({}))).unwrap();
    sign_json("notary.org", &key_pair(), &mut notarised).unwrap();
    assert!(parse(&serde_json::to_string(&notarised).unwrap()).is_ok());
}

#[test]
fn an_answer_of_another_form_is_refused() {
    let other = answer(&json!({ "server_name": "else.org" }));
    assert!(matches!(
        parse(&other),
        Err(ServerKeysError::OtherServer(_))
    ));
    let key = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";
    let many = (0..=MAX_KEYS).map(|number| {
        (
            format!("ed25519:{number}"),
            json!({ "key": key, "expired_ts": 1 }),
        )
    });
    let many = json!({ "old_verify_keys": many.collect::<serde_json::Map<_, _>>() });
    assert!(matches!(
        parse(&answer(&many)),
        Err(ServerKeysError::TooMany(_))
    ));
    for wrong in ["", "[]", "{}", r#"{"server_name":1}"#] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn keys_that_are_not_listed_any_more_are_kept_within_bounds() {
    let key = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";
    let listed = |from: usize, count: usize| {
        let old = (from..from + count).map(|number| {
            (
                format!("ed25519:old{number}"),
                json!({ "key": key, "expired_ts": number }),
            )
        });
        let old = json!({ "old_verify_keys": old.collect::<serde_json::Map<_, _>>() });
        parse(&answer(&old)).unwrap()
    };
    let both = listed(10, 1).with_older(&listed(5, 1));
    assert_eq!(both.keys.len(), 3);
    assert!(both.lookup("ed25519:old5", ts(5)).is_some());
    let most = listed(1000, 50).with_older(&listed(100, 50));
    assert_eq!(most.keys.len(), MAX_KEYS);
    // The youngest stay.
    assert!(most.keys.contains_key("ed25519:old149") && !most.keys.contains_key("ed25519:old100"));
}
