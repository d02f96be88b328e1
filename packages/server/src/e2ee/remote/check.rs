//! What is kept of the keys that other servers send: what can be believed
//! ([`matryx_entity::signed_object`]) and is not too large, without what is for others to see.

use matryx_entity::{cross_signing_key::CrossSigningUsage, signed_object::SignedObject};
use ruma::{DeviceId, UserId, encryption::UnsignedDeviceInfo};
use serde::Deserialize;

/// The most bytes of the keys of one device, or of one cross-signing key, with their signatures.
const MAX_BYTES: usize = 16 << 10;

/// The most letters of a device's id.
const MAX_DEVICE_ID: usize = 255;

/// The most letters of a device's name that are kept.
const MAX_NAME: usize = 100;

/// The keys of a device, if they are this device's and signed by it: canonical JSON, with its
/// owner's signatures and no others.
pub(super) fn device_keys(user: &UserId, device: &DeviceId, json: &str) -> Option<String> {
    if !is_device_id(device) {
        return None;
    }
    let keys = own_signed(user, json)?;
    keys.believe_device_keys(user, device).ok()?;
    Some(keys.to_text())
}

/// Can it be the id of a device?
pub(super) fn is_device_id(device: &DeviceId) -> bool {
    !device.as_str().is_empty() && device.as_str().len() <= MAX_DEVICE_ID
}

/// What is kept of the name of a device.
pub(super) fn name(name: Option<String>) -> Option<String> {
    let name = name.filter(|name| !name.is_empty())?;
    Some(name.chars().take(MAX_NAME).collect())
}

/// What is kept of the name that comes with the keys of a device.
pub(super) fn told_name(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        unsigned: UnsignedDeviceInfo,
    }
    let named = serde_json::from_str::<Named>(json).ok()?;
    name(named.unsigned.device_display_name)
}

/// A master key, if it is this user's: canonical JSON, with its owner's signatures only.
pub(super) fn master_key(user: &UserId, json: &str) -> Option<String> {
    let key = own_signed(user, json)?;
    let usage = CrossSigningUsage::Master;
    key.believe_cross_signing_key(user, usage).ok()?;
    Some(key.to_text())
}

/// A self-signing key, if it is this user's and signed by their master key.
pub(super) fn self_signing_key(user: &UserId, json: &str, master: &str) -> Option<String> {
    let key = own_signed(user, json)?;
    let usage = CrossSigningUsage::SelfSigning;
    key.believe_cross_signing_key(user, usage).ok()?;
    let master = SignedObject::parse(master).ok()?;
    let usage = CrossSigningUsage::Master;
    let master = master.believe_cross_signing_key(user, usage).ok()?;
    key.must_be_signed(user, &master).ok()?;
    Some(key.to_text())
}

/// An object without `unsigned` and the signatures of anybody but `user`, which only those may see
/// who made them.
fn own_signed(user: &UserId, json: &str) -> Option<SignedObject> {
    if json.len() > MAX_BYTES {
        return None;
    }
    let mut object = SignedObject::parse(json).ok()?;
    object.keep_signatures_of(user).ok()?;
    Some(object)
}

#[cfg(test)]
mod tests {
    use ruma::{
        CanonicalJsonObject, CanonicalJsonValue, device_id,
        serde::{Base64, base64::Standard},
        signatures::Ed25519KeyPair,
        user_id,
    };
    use serde_json::{Value, json};

    use super::*;

    fn pair(version: &str) -> Ed25519KeyPair {
        let der = Ed25519KeyPair::generate();
        Ed25519KeyPair::from_der(&der, version.to_owned()).unwrap()
    }

    fn public(pair: &Ed25519KeyPair) -> String {
        Base64::<Standard, _>::new(pair.public_key()).encode()
    }

    fn signed(value: &Value, by: &Ed25519KeyPair) -> Value {
        let mut object: CanonicalJsonObject = serde_json::from_value(value.clone()).unwrap();
        ruma::signatures::sign_json("@a:x", by, &mut object).unwrap();
        CanonicalJsonValue::from(object).into()
    }

    fn device(pair: &Ed25519KeyPair) -> Value {
        json!({
            "user_id": "@a:x", "device_id": "DEV", "algorithms": [],
            "keys": { "ed25519:DEV": public(pair), "curve25519:DEV": "abc" },
        })
    }

    fn believed(value: &Value) -> Option<Value> {
        let kept = device_keys(user_id!("@a:x"), device_id!("DEV"), &value.to_string())?;
        Some(serde_json::from_str(&kept).unwrap())
    }

    #[test]
    fn keys_of_a_device_are_its_own_and_signed_by_it() {
        let pair = pair("DEV");
        let good = signed(&device(&pair), &pair);
        let mut told = good.clone();
        told["unsigned"] = json!({ "device_display_name": "x" });
        told["signatures"]["@b:x"] = json!({ "ed25519:K": "c2ln" });
        told["signatures"]["@a:x"]["ed25519:SSK"] = json!("c2ln");
        let mut kept = good.clone();
        kept["signatures"]["@a:x"]["ed25519:SSK"] = json!("c2ln");
        assert_eq!(believed(&told), Some(kept));

        assert_eq!(believed(&device(&pair)), None, "unsigned");
        let other = self::pair("DEV");
        assert_eq!(believed(&signed(&device(&pair), &other)), None);
        for (field, value) in [
            ("user_id", json!("@b:x")),
            ("device_id", json!("OTHER")),
            ("algorithms", json!(7)),
            ("keys", json!({})),
            (
                "keys",
                json!({ "ed25519:DEV": public(&pair), "curve25519:DEV": {} }),
            ),
            ("huge", json!("x".repeat(MAX_BYTES))),
            ("float", json!(0.5)),
        ] {
            let mut bad = device(&pair);
            bad[field] = value;
            if field != "float" {
                bad = signed(&bad, &pair);
            }
            assert_eq!(believed(&bad), None, "{field}");
        }
        assert_eq!(believed(&json!([])), None);
        let user = user_id!("@a:x");
        assert_eq!(
            device_keys(user, device_id!("OTHER"), &good.to_string()),
            None
        );
    }

    fn cross(usage: &str, pair: &Ed25519KeyPair) -> Value {
        let key = public(pair);
        json!({ "user_id": "@a:x", "usage": [usage], "keys": { format!("ed25519:{key}"): key } })
    }

    /// A pair that is known by its public key, as cross-signing keys are.
    fn named() -> Ed25519KeyPair {
        let der = Ed25519KeyPair::generate();
        let public = public(&Ed25519KeyPair::from_der(&der, "x".to_owned()).unwrap());
        Ed25519KeyPair::from_der(&der, public).unwrap()
    }

    #[test]
    fn a_self_signing_key_is_signed_by_the_master_key() {
        let (user, master, other) = (user_id!("@a:x"), named(), named());
        let kept = master_key(user, &cross("master", &master).to_string()).unwrap();
        assert!(master_key(user, &cross("self_signing", &master).to_string()).is_none());
        assert!(master_key(user_id!("@b:x"), &cross("master", &master).to_string()).is_none());
        let mut two = cross("master", &master);
        two["keys"]["ed25519:x"] = json!("x");
        assert!(master_key(user, &two.to_string()).is_none());

        let own = cross("self_signing", &other);
        let good = signed(&own, &master).to_string();
        assert!(self_signing_key(user, &good, &kept).is_some());
        assert!(self_signing_key(user, &own.to_string(), &kept).is_none());
        let bad = signed(&own, &other).to_string();
        assert!(self_signing_key(user, &bad, &kept).is_none());
    }

    #[test]
    fn a_name_is_cut() {
        assert_eq!(name(Some("x".repeat(1000))), Some("x".repeat(MAX_NAME)));
        assert_eq!(name(Some(String::new())), None);
        assert_eq!(name(None), None);
    }
}
