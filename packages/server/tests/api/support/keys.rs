//! Keys as a client makes and signs them.

use ruma::{
    CanonicalJsonObject,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Map, Value, json};

use super::TestUser;

/// An ed25519 key of a user: of a device, or for cross-signing.
pub(crate) struct SigningKey {
    user: String,
    pair: Ed25519KeyPair,
    /// The public half.
    pub(crate) public: String,
}

impl SigningKey {
    /// A new key that goes by the name of a device.
    pub(crate) fn of_device(user: &str, device: &str) -> Self {
        Self::named(user, |_| device.to_owned())
    }

    /// A new key that goes by its own name.
    pub(crate) fn for_cross_signing(user: &str) -> Self {
        Self::named(user, ToOwned::to_owned)
    }

    fn named(user: &str, name: impl FnOnce(&str) -> String) -> Self {
        let document = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&document, String::new()).unwrap();
        let public = base64(&pair.public_key());
        Self {
            user: user.to_owned(),
            pair: Ed25519KeyPair::from_der(&document, name(&public)).unwrap(),
            public,
        }
    }

    /// Adds its signature to an object.
    pub(crate) fn sign(&self, object: &mut Value) {
        let mut signed: CanonicalJsonObject = serde_json::from_value(object.clone()).unwrap();
        sign_json(&self.user, &self.pair, &mut signed).unwrap();
        *object = serde_json::to_value(signed).unwrap();
    }

    /// As a key for cross-signing, without signatures.
    pub(crate) fn published(&self, usage: &str) -> Value {
        let id = format!("ed25519:{}", self.public);
        json!({ "user_id": self.user, "usage": [usage], "keys": { (id): self.public } })
    }
}

/// The keys of a device.
pub(crate) struct DeviceIdentity {
    /// Whose.
    pub(crate) user: String,
    /// The device.
    pub(crate) device: String,
    /// What it signs with.
    pub(crate) key: SigningKey,
}

impl DeviceIdentity {
    /// New keys of the device that a user is logged in with.
    pub(crate) fn new(user: &TestUser) -> Self {
        Self::named(&user.id, &user.device_id)
    }

    /// New keys of any device.
    pub(crate) fn named(user: &str, device: &str) -> Self {
        Self {
            user: user.to_owned(),
            device: device.to_owned(),
            key: SigningKey::of_device(user, device),
        }
    }

    /// The identity keys, signed.
    pub(crate) fn device_keys(&self) -> Value {
        let Self { user, device, key } = self;
        let mut keys = json!({
            "user_id": user,
            "device_id": device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                (format!("curve25519:{device}")): base64(&[7; 32]),
                (format!("ed25519:{device}")): key.public,
            },
        });
        key.sign(&mut keys);
        keys
    }

    /// One-time keys with these numbers, signed.
    pub(crate) fn one_time_keys(&self, numbers: impl IntoIterator<Item = u32>) -> Value {
        let keys = numbers.into_iter().map(|number| {
            let mut key = json!({ "key": public_key(number) });
            self.key.sign(&mut key);
            (format!("signed_curve25519:{number:06}"), key)
        });
        Value::Object(keys.collect::<Map<_, _>>())
    }

    /// A fallback key, signed.
    pub(crate) fn fallback_key(&self, number: u32) -> Value {
        let mut key = json!({ "key": public_key(number), "fallback": true });
        self.key.sign(&mut key);
        json!({ (format!("signed_curve25519:F{number:05}")): key })
    }

    /// Uploads the identity keys and so many one-time keys.
    pub(crate) async fn publish(user: &TestUser, one_time_keys: u32) -> Self {
        let identity = Self::new(user);
        let body = json!({
            "device_keys": identity.device_keys(),
            "one_time_keys": identity.one_time_keys(0..one_time_keys),
        });
        let upload = user.post("/_matrix/client/v3/keys/upload").json(&body);
        upload.send().await.ok();
        identity
    }
}

/// The cross-signing keys of a user.
pub(crate) struct CrossSigning {
    pub(crate) master: SigningKey,
    pub(crate) self_signing: SigningKey,
    pub(crate) user_signing: SigningKey,
}

impl CrossSigning {
    /// New keys.
    pub(crate) fn new(user: &str) -> Self {
        Self {
            master: SigningKey::for_cross_signing(user),
            self_signing: SigningKey::for_cross_signing(user),
            user_signing: SigningKey::for_cross_signing(user),
        }
    }

    /// What a client uploads.
    pub(crate) fn upload(&self) -> Value {
        let mut self_signing = self.self_signing.published("self_signing");
        self.master.sign(&mut self_signing);
        let mut user_signing = self.user_signing.published("user_signing");
        self.master.sign(&mut user_signing);
        json!({
            "master_key": self.master.published("master"),
            "self_signing_key": self_signing,
            "user_signing_key": user_signing,
        })
    }
}

fn public_key(number: u32) -> String {
    let mut bytes = [9; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    base64(&bytes)
}

fn base64(bytes: &[u8]) -> String {
    Base64::<Standard, _>::new(bytes).encode()
}
