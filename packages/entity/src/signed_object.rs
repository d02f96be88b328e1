//! Keys that users publish: JSON objects that carry the signatures of other keys.
//!
//! A device's identity keys, its one-time keys and a user's cross-signing keys all have this form.
//! Here is what makes one of them acceptable; nobody else vouches for it. What is *checked* is what
//! this server takes from its own users; what is *believed* is what another server tells of its own:
//! it must be theirs and signed, but may be of kinds that are not known here.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#key-management-api)

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, DeviceId, SigningKeyAlgorithm, UserId,
    serde::{Base64, base64::Standard},
    signatures,
};

use crate::{
    canonical::{self, CanonicalError},
    cross_signing_key::CrossSigningUsage,
};

/// The most algorithms that a device names.
pub const MAX_ALGORITHMS: usize = 20;
/// The most identity keys of a device.
pub const MAX_IDENTITY_KEYS: usize = 20;

const SIGNATURES: &str = "signatures";

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It is no object of canonical JSON.
    #[error(transparent)]
    Json(#[from] CanonicalError),
    /// It has not the form of such a key, or is another's.
    #[error("{0}")]
    Malformed(&'static str),
    /// Who must have signed it has not.
    #[error("{0}")]
    Unsigned(&'static str),
    /// A signature is wrong.
    #[error("{0}")]
    Signature(&'static str),
}

const OTHER_USAGE: KeyFault = KeyFault::Malformed("The cross-signing key has another usage");

/// An ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its id without the algorithm: a device, or the key itself.
    name: String,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The length of such a key, in bytes.
    const BYTES: usize = 32;

    /// Reads the text of a key, which goes by a name.
    pub fn parse(name: &str, text: &str) -> Option<Self> {
        let bytes = Base64::<Standard>::parse(text).ok()?.into_inner();
        (bytes.len() == Self::BYTES).then(|| Self {
            name: name.to_owned(),
            bytes,
        })
    }

    /// Its id without the algorithm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id, as signatures name it.
    pub fn id(&self) -> String {
        format!("ed25519:{}", self.name)
    }
}

/// What a signature turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// There is none.
    Missing,
    /// It was not made by that key, or for something else.
    Wrong,
    /// The key signed this.
    Valid,
}

/// A signed object. What an intermediate server said of it (`unsigned`) is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedObject {
    object: CanonicalJsonObject,
    /// What is signed: everything but the signatures.
    signed: String,
}

impl SignedObject {
    /// Reads one.
    ///
    /// # Errors
    /// It is no object of canonical JSON.
    pub fn parse(json: &str) -> Result<Self, KeyFault> {
        let mut object = canonical::parse_object(json)?;
        object.remove("unsigned");
        let signed = signatures::to_canonical_json_string_for_signing(&object);
        let signed = signed.map_err(|_too_deep| KeyFault::Malformed("The key can't be read"))?;
        Ok(Self { object, signed })
    }

    /// The whole as canonical JSON.
    pub fn to_text(&self) -> String {
        canonical::to_text(&self.object)
    }

    /// Whether both say the same, whoever signed it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.signed == other.signed
    }

    /// Whether both are of the same public keys.
    pub fn has_the_keys_of(&self, other: &Self) -> bool {
        self.object.get("keys") == other.object.get("keys")
    }

    /// What the signature of a user's key is worth.
    pub fn proof(&self, user: &UserId, key: &PublicKey) -> Proof {
        let Some(signature) = self.signature(user, &key.id()) else {
            return Proof::Missing;
        };
        let Ok(signature) = Base64::<Standard>::parse(signature) else {
            return Proof::Wrong;
        };
        let verified = signatures::verify_canonical_json_bytes(
            &SigningKeyAlgorithm::Ed25519,
            &key.bytes,
            signature.as_bytes(),
            self.signed.as_bytes(),
        );
        if verified.is_ok() {
            Proof::Valid
        } else {
            Proof::Wrong
        }
    }

    /// The text of a signature.
    pub fn signature(&self, user: &UserId, key_id: &str) -> Option<&str> {
        let by_user = self.object.get(SIGNATURES)?.as_object()?;
        let by_key = by_user.get(user.as_str())?.as_object()?;
        by_key.get(key_id)?.as_str()
    }

    /// Drops all signatures but those that these keys of the user made.
    pub fn keep_signatures(&mut self, user: &UserId, keys: &[PublicKey]) {
        let valid = keys
            .iter()
            .filter(|key| self.proof(user, key) == Proof::Valid);
        let valid = valid.filter_map(|key| {
            let signature = self.signature(user, &key.id())?;
            Some((key.id(), signature.to_owned()))
        });
        let valid: Vec<_> = valid.collect();
        self.object.remove(SIGNATURES);
        for (key_id, signature) in valid {
            self.add_signature(user, key_id, signature);
        }
    }

    /// Drops all signatures but those of the user, whatever they are worth.
    ///
    /// # Errors
    /// The signatures have another form.
    pub fn keep_signatures_of(&mut self, user: &UserId) -> Result<(), KeyFault> {
        match self.object.get_mut(SIGNATURES) {
            None => Ok(()),
            Some(CanonicalJsonValue::Object(signatures)) => {
                signatures.retain(|signer, _| signer == user.as_str());
                Ok(())
            }
            Some(_) => Err(KeyFault::Malformed("`signatures` must be an object")),
        }
    }

    /// Takes over the signatures of another object by this user.
    pub fn add_signatures_of(&mut self, user: &UserId, other: &Self) {
        let signatures = other.object.get(SIGNATURES);
        let by_user = signatures.and_then(CanonicalJsonValue::as_object);
        let by_key = by_user.and_then(|by_user| by_user.get(user.as_str())?.as_object());
        for (key_id, signature) in by_key.into_iter().flatten() {
            if let Some(signature) = signature.as_str() {
                self.add_signature(user, key_id.clone(), signature.to_owned());
            }
        }
    }

    /// Adds a signature, which replaces one by the same key.
    pub fn add_signature(&mut self, user: &UserId, key_id: String, signature: String) {
        let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
        let by_user = self
            .object
            .entry(SIGNATURES.to_owned())
            .or_insert_with(empty);
        let CanonicalJsonValue::Object(by_user) = by_user else {
            return;
        };
        let by_key = by_user.entry(user.to_string()).or_insert_with(empty);
        if let CanonicalJsonValue::Object(by_key) = by_key {
            by_key.insert(key_id, CanonicalJsonValue::String(signature));
        }
    }

    /// The identity keys of this device of the user: their form, and the key that signed them.
    ///
    /// # Errors
    /// They are another device's, lack a key, or are not signed by the device.
    pub fn check_device_keys(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<PublicKey, KeyFault> {
        let (algorithms, keys) = self.identity_of(user, device)?;
        if algorithms.len() > MAX_ALGORITHMS || algorithms.iter().any(|name| !name.is_string()) {
            return Err(KeyFault::Malformed("`algorithms` must be a few names"));
        }
        if keys.len() > MAX_IDENTITY_KEYS {
            return Err(KeyFault::Malformed("`keys` must be a few strings"));
        }
        let curve = keys.get(&format!("curve25519:{device}"));
        let curve = curve.and_then(CanonicalJsonValue::as_str);
        if curve.is_none_or(|text| PublicKey::parse("", text).is_none()) {
            return Err(KeyFault::Malformed("The device has no curve25519 key"));
        }
        self.must_be_signed_by_device(user, device)
    }

    /// The identity keys that another server tells of this device of its user: the key that signed
    /// them.
    ///
    /// # Errors
    /// They are another device's, or not signed by the device.
    pub fn believe_device_keys(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<PublicKey, KeyFault> {
        self.identity_of(user, device)?;
        self.must_be_signed_by_device(user, device)
    }

    /// The algorithms and the keys of this device of the user.
    fn identity_of(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<(&[CanonicalJsonValue], &CanonicalJsonObject), KeyFault> {
        if self.text("user_id") != Some(user.as_str()) {
            return Err(KeyFault::Malformed("The device keys are another user's"));
        }
        if self.text("device_id") != Some(device.as_str()) {
            return Err(KeyFault::Malformed("The device keys are another device's"));
        }
        let algorithms = match self.object.get("algorithms") {
            Some(CanonicalJsonValue::Array(algorithms)) => algorithms.as_slice(),
            _ => return Err(KeyFault::Malformed("`algorithms` must be a list")),
        };
        let keys = self
            .object
            .get("keys")
            .and_then(CanonicalJsonValue::as_object);
        let keys = keys.ok_or(KeyFault::Malformed("`keys` must be an object"))?;
        if keys.values().any(|key| !key.is_string()) {
            return Err(KeyFault::Malformed("`keys` must be a few strings"));
        }
        Ok((algorithms, keys))
    }

    fn must_be_signed_by_device(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<PublicKey, KeyFault> {
        let key = self.device_key(device);
        let key = key.ok_or(KeyFault::Malformed("The device has no ed25519 key"))?;
        self.must_be_signed(user, &key)?;
        Ok(key)
    }

    /// The identity key of a device whose keys were checked when they came.
    pub fn device_key(&self, device: &DeviceId) -> Option<PublicKey> {
        let keys = self.object.get("keys")?.as_object()?;
        let text = keys.get(&format!("ed25519:{device}"))?.as_str()?;
        PublicKey::parse(device.as_str(), text)
    }

    /// A signed one-time or fallback key of a device of the user.
    ///
    /// # Errors
    /// It has not the form of one, or the device did not sign it.
    pub fn check_one_time_key(&self, user: &UserId, device: &PublicKey) -> Result<(), KeyFault> {
        let key = self.text("key").and_then(|text| PublicKey::parse("", text));
        if key.is_none() {
            return Err(KeyFault::Malformed("A one-time key is no curve25519 key"));
        }
        self.must_be_signed(user, device)
    }

    /// A cross-signing key of the user, for one use.
    ///
    /// # Errors
    /// It is another user's, or has another form or use.
    pub fn check_cross_signing_key(
        &self,
        user: &UserId,
        usage: CrossSigningUsage,
    ) -> Result<PublicKey, KeyFault> {
        let key = self.believe_cross_signing_key(user, usage)?;
        match self.usages() {
            [_only] => Ok(key),
            _ => Err(OTHER_USAGE),
        }
    }

    /// The cross-signing key that another server tells of its user, for this use and perhaps others.
    ///
    /// # Errors
    /// It is another user's, or has another form or use.
    pub fn believe_cross_signing_key(
        &self,
        user: &UserId,
        usage: CrossSigningUsage,
    ) -> Result<PublicKey, KeyFault> {
        if self.text("user_id") != Some(user.as_str()) {
            return Err(KeyFault::Malformed(
                "The cross-signing key is another user's",
            ));
        }
        let mut usages = self.usages().iter();
        if !usages.any(|it| it.as_str() == Some(usage.as_str())) {
            return Err(OTHER_USAGE);
        }
        self.cross_signing_key().ok_or(KeyFault::Malformed(
            "A cross-signing key must be one ed25519 key, under its own name",
        ))
    }

    fn usages(&self) -> &[CanonicalJsonValue] {
        match self.object.get("usage") {
            Some(CanonicalJsonValue::Array(usages)) => usages.as_slice(),
            _ => &[],
        }
    }

    /// The public key of a cross-signing key.
    pub fn cross_signing_key(&self) -> Option<PublicKey> {
        let keys = self.object.get("keys")?.as_object()?;
        let mut keys = keys.iter();
        let (Some((id, text)), None) = (keys.next(), keys.next()) else {
            return None;
        };
        let (name, text) = (id.strip_prefix("ed25519:")?, text.as_str()?);
        (name == text)
            .then(|| PublicKey::parse(name, text))
            .flatten()
    }

    /// # Errors
    /// This key of the user did not sign it.
    pub fn must_be_signed(&self, user: &UserId, key: &PublicKey) -> Result<(), KeyFault> {
        match self.proof(user, key) {
            Proof::Valid => Ok(()),
            Proof::Missing => Err(KeyFault::Unsigned(
                "A key lacks the signature that it needs",
            )),
            Proof::Wrong => Err(KeyFault::Signature("The signature of a key is wrong")),
        }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.object.get(field)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use ruma::{
        device_id,
        signatures::{Ed25519KeyPair, sign_json},
        user_id,
    };
    use serde_json::json;

    use super::*;

    /// A key and its public half.
    fn key(name: &str) -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), name.to_owned()).unwrap();
        let text = Base64::<Standard, _>::new(pair.public_key()).encode();
        let public = PublicKey::parse(name, &text).unwrap();
        (pair, public)
    }

    fn signed(json: &serde_json::Value, signers: &[(&str, &Ed25519KeyPair)]) -> SignedObject {
        let mut object: CanonicalJsonObject = serde_json::from_value(json.clone()).unwrap();
        for (user, pair) in signers {
            sign_json(user, *pair, &mut object).unwrap();
        }
        SignedObject::parse(&canonical::to_text(&object)).unwrap()
    }

    #[test]
    fn only_the_signatures_of_the_named_keys_stay() {
        let alice = user_id!("@alice:localhost");
        let ((device, of_device), (other, of_other)) = (key("DEVICE"), key("OTHER"));
        let body = json!({ "key": "value" });
        let mut object = signed(
            &body,
            &[
                ("@alice:localhost", &device),
                ("@alice:localhost", &other),
                ("@bob:localhost", &device),
            ],
        );
        assert_eq!(object.proof(alice, &of_other), Proof::Valid);
        object.keep_signatures(alice, std::slice::from_ref(&of_device));
        assert_eq!(object, signed(&body, &[("@alice:localhost", &device)]));
        assert_eq!(object.proof(alice, &of_other), Proof::Missing);
        let (_, another) = key("DEVICE");
        assert_eq!(object.proof(alice, &another), Proof::Wrong);
        object.keep_signatures(alice, &[another]);
        assert_eq!(object.to_text(), r#"{"key":"value"}"#);
    }

    #[test]
    fn what_a_server_adds_is_not_part_of_it() {
        let one = SignedObject::parse(r#"{"b":1,"a":2,"unsigned":{"x":1}}"#).unwrap();
        let other = SignedObject::parse(r#"{"a":2,"b":1,"signatures":{"x":{"y":"z"}}}"#).unwrap();
        assert!(one.says_the_same(&other));
        assert_eq!(one.to_text(), r#"{"a":2,"b":1}"#);
        let third = SignedObject::parse(r#"{"a":2,"b":2}"#).unwrap();
        assert!(!one.says_the_same(&third));
    }

    #[test]
    fn signatures_of_another_shape_are_none() {
        let alice = user_id!("@alice:localhost");
        let (_, public) = key("DEVICE");
        for signatures in [
            json!(1),
            json!({ "@alice:localhost": [] }),
            json!({ "@alice:localhost": { "ed25519:DEVICE": 1 } }),
        ] {
            let json = json!({ "signatures": signatures }).to_string();
            let object = SignedObject::parse(&json).unwrap();
            assert_eq!(object.proof(alice, &public), Proof::Missing, "{json}");
        }
        for signature in ["", "no base64!", "AAAA"] {
            let signatures = json!({ "@alice:localhost": { "ed25519:DEVICE": signature } });
            let json = json!({ "signatures": signatures }).to_string();
            let object = SignedObject::parse(&json).unwrap();
            assert_eq!(object.proof(alice, &public), Proof::Wrong, "{json}");
        }
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for text in ["", "AAAA", "no base64!", &"A".repeat(44)] {
            assert_eq!(PublicKey::parse("DEVICE", text), None, "{text}");
        }
        let json = json!({ "keys": { "ed25519:DEVICE": "AAAA" } }).to_string();
        let object = SignedObject::parse(&json).unwrap();
        assert_eq!(object.device_key(device_id!("DEVICE")), None);
    }
}
