//! What is believed of the keys that other servers send: what is whole, names its owner, and is
//! signed as the specification says. Nothing else of it is kept.

use matryx_entity::{canonical, cross_signing_key::CrossSigningUsage};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, DeviceId, UserId,
    encryption::UnsignedDeviceInfo,
    serde::{Base64, base64::Standard},
    signatures::{
        SigningKeyAlgorithm, to_canonical_json_string_for_signing, verify_canonical_json_bytes,
    },
};
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
    let object = own_signed(user, json)?;
    let is_its = text(&object, "user_id")? == user.as_str()
        && text(&object, "device_id")? == device.as_str();
    let key_id = format!("ed25519:{device}");
    let keys = object.get("keys")?.as_object()?;
    let are_texts = keys.values().all(|key| key.as_str().is_some());
    let has_algorithms = matches!(object.get("algorithms"), Some(CanonicalJsonValue::Array(_)));
    if !is_its || !are_texts || !has_algorithms {
        return None;
    }
    let key = keys.get(&key_id)?.as_str()?;
    is_signed(&object, user, &key_id, key).then(|| canonical::to_text(&object))
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
    let object = own_signed(user, json)?;
    the_key(&object, user, CrossSigningUsage::Master)?;
    Some(canonical::to_text(&object))
}

/// A self-signing key, if it is this user's and signed by their master key.
pub(super) fn self_signing_key(user: &UserId, json: &str, master: &str) -> Option<String> {
    let object = own_signed(user, json)?;
    the_key(&object, user, CrossSigningUsage::SelfSigning)?;
    let master = canonical::parse_object(master).ok()?;
    let (key_id, key) = the_key(&master, user, CrossSigningUsage::Master)?;
    is_signed(&object, user, key_id, key).then(|| canonical::to_text(&object))
}

/// The one key of a cross-signing key: its id and itself.
fn the_key<'a>(
    object: &'a CanonicalJsonObject,
    user: &UserId,
    usage: CrossSigningUsage,
) -> Option<(&'a str, &'a str)> {
    let usages = object.get("usage")?.as_array()?;
    let is_for = usages.iter().any(|it| it.as_str() == Some(usage.as_str()));
    if text(object, "user_id")? != user.as_str() || !is_for {
        return None;
    }
    let mut keys = object.get("keys")?.as_object()?.iter();
    let (key_id, key) = keys.next()?;
    let key = key.as_str()?;
    let is_whole = keys.next().is_none() && key_id.strip_prefix("ed25519:") == Some(key);
    is_whole.then_some((key_id, key))
}

/// An object without `unsigned` and the signatures of anybody but `user`, which only those may see
/// who made them.
fn own_signed(user: &UserId, json: &str) -> Option<CanonicalJsonObject> {
    if json.len() > MAX_BYTES {
        return None;
    }
    let mut object = canonical::parse_object(json).ok()?;
    object.remove("unsigned");
    if let Some(signatures) = object.get_mut("signatures") {
        let CanonicalJsonValue::Object(signatures) = signatures else {
            return None;
        };
        signatures.retain(|signer, _| signer == user.as_str());
    }
    Some(object)
}

fn text<'a>(object: &'a CanonicalJsonObject, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str()
}

fn is_signed(object: &CanonicalJsonObject, user: &UserId, key_id: &str, key: &str) -> bool {
    let signature = || {
        let signatures = object.get("signatures")?.as_object()?;
        let signatures = signatures.get(user.as_str())?.as_object()?;
        let signature = signatures.get(key_id)?.as_str()?;
        Base64::<Standard>::parse(signature).ok()
    };
    let Some(signature) = signature() else {
        return false;
    };
    let (Ok(key), Ok(signed)) = (
        Base64::<Standard>::parse(key),
        to_canonical_json_string_for_signing(object),
    ) else {
        return false;
    };
    verify_canonical_json_bytes(
        &SigningKeyAlgorithm::Ed25519,
        key.as_bytes(),
        signature.as_bytes(),
        signed.as_bytes(),
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, signatures::Ed25519KeyPair, user_id};
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
