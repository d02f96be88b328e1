//! The published signing keys of other servers.

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, IdParseError, MilliSecondsSinceUnixEpoch,
    OwnedServerName, ServerName, UInt,
    api::federation::discovery::ServerSigningKeys,
    serde::Base64,
    signatures::{PublicKeySet, VerificationError, verify_json},
};
use serde::{Deserialize, Serialize};

use crate::{
    canonical::{self, CanonicalError},
    key,
    stored::{Key, Stored},
};

/// How far into the future a key counts as valid at most, counted from when it was fetched.
/// [Spec](https://spec.matrix.org/v1.19/rooms/v5/#signing-key-validity-period)
pub const MAX_VALIDITY: Duration = Duration::from_hours(7 * 24);

/// The most keys that are kept for one server.
pub const MAX_KEYS: usize = 64;

/// Bytes of an ed25519 public key.
const KEY_BYTES: usize = 32;

/// Everything known of a server's signing keys. Kept for ever: old events are verified with old
/// keys, also when their server is long gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeys {
    /// The server.
    pub server_name: OwnedServerName,
    /// Its keys by id, current and old.
    pub keys: BTreeMap<String, ServerKey>,
    /// The newest answer that the server signed, as canonical JSON, to be handed on.
    pub answer: String,
    /// Until when the answer is valid, as it says.
    pub valid_until_ts: MilliSecondsSinceUnixEpoch,
}

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKey {
    /// The ed25519 public key, in unpadded base64.
    pub key: Base64,
    /// The time up to which what it signed is valid.
    pub valid_until_ts: MilliSecondsSinceUnixEpoch,
}

/// Why an answer with keys can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum ServerKeysError {
    /// It is not canonical JSON.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// It lacks a field, or one has another form.
    #[error("malformed server keys")]
    Malformed(#[from] serde_json::Error),
    /// It is about another server.
    #[error("these are the keys of {0}")]
    OtherServer(OwnedServerName),
    /// It has more keys than [`MAX_KEYS`].
    #[error("{0} keys")]
    TooMany(usize),
    /// It is not signed with one of the keys in it.
    #[error("not signed by its own keys")]
    Signature(#[from] VerificationError),
    /// A name in it is none.
    #[error(transparent)]
    Identifier(#[from] IdParseError),
}

impl ServerKeys {
    /// Reads an answer to `GET /_matrix/key/v2/server` of `server_name` that arrived at `now`; it
    /// must be signed with one of the current keys in it.
    /// [Spec](https://spec.matrix.org/v1.19/server-server-api/#publishing-keys)
    ///
    /// # Errors
    /// The answer can't be believed.
    pub fn parse(
        json: &str,
        server_name: &ServerName,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<Self, ServerKeysError> {
        let object = canonical::parse_object(json)?;
        let answer = canonical::to_text(&object);
        let published: ServerSigningKeys = serde_json::from_str(&answer)?;
        if published.server_name != server_name {
            return Err(ServerKeysError::OtherServer(published.server_name));
        }
        let count = published.verify_keys.len() + published.old_verify_keys.len();
        if count > MAX_KEYS {
            return Err(ServerKeysError::TooMany(count));
        }
        let valid_until_ts = published.valid_until_ts.min(later(now, MAX_VALIDITY));
        let current = published.verify_keys.iter().map(|(id, verify_key)| {
            let key = verify_key.key.clone();
            let known = ServerKey {
                key,
                valid_until_ts,
            };
            (id.to_string(), known)
        });
        let current: BTreeMap<_, _> = current.filter(is_usable).collect();
        let old = published.old_verify_keys.iter().map(|(id, old)| {
            let known = ServerKey {
                key: old.key.clone(),
                valid_until_ts: old.expired_ts.min(now),
            };
            (id.to_string(), known)
        });
        let signing = current
            .iter()
            .map(|(id, known)| (id.clone(), known.key.clone()));
        check_own_signature(object, server_name, signing.collect())?;
        let mut keys: BTreeMap<_, _> = old.filter(is_usable).collect();
        keys.extend(current);
        Ok(Self {
            server_name: server_name.to_owned(),
            keys,
            answer,
            valid_until_ts: published.valid_until_ts,
        })
    }

    /// The key with this id, if what it signed at `at` is valid.
    pub fn lookup(&self, id: &str, at: MilliSecondsSinceUnixEpoch) -> Option<&Base64> {
        let known = self.keys.get(id)?;
        (at <= known.valid_until_ts).then_some(&known.key)
    }

    /// Adds what was known before and is not in this answer: a server may stop to list old keys.
    #[must_use]
    pub fn with_older(mut self, older: &Self) -> Self {
        let mut missing: Vec<_> = older
            .keys
            .iter()
            .filter(|(id, _)| !self.keys.contains_key(*id))
            .collect();
        missing.sort_by_key(|(_, known)| std::cmp::Reverse(known.valid_until_ts));
        let free = MAX_KEYS.saturating_sub(self.keys.len());
        for (id, known) in missing.into_iter().take(free) {
            self.keys.insert(id.clone(), known.clone());
        }
        self
    }

    /// The key of a server's record.
    pub fn key_of(server_name: &ServerName) -> Key {
        key![server_name.as_str()]
    }
}

impl Stored for ServerKeys {
    const TABLE: &'static str = "server_keys";
    fn key(&self) -> Key {
        Self::key_of(&self.server_name)
    }
}

/// A moment after another one; the last that there is when it would be beyond.
pub fn later(ts: MilliSecondsSinceUnixEpoch, by: Duration) -> MilliSecondsSinceUnixEpoch {
    let by = UInt::try_from(by.as_millis()).unwrap_or(UInt::MAX);
    MilliSecondsSinceUnixEpoch(ts.0.saturating_add(by))
}

fn is_usable((id, known): &(String, ServerKey)) -> bool {
    id.starts_with("ed25519:") && known.key.as_bytes().len() == KEY_BYTES
}

/// Checks the signatures of `server_name` alone: a notary may have added its own.
fn check_own_signature(
    mut object: CanonicalJsonObject,
    server_name: &ServerName,
    keys: PublicKeySet,
) -> Result<(), ServerKeysError> {
    if let Some(CanonicalJsonValue::Object(signatures)) = object.get_mut("signatures") {
        signatures.retain(|signer, _| signer == server_name.as_str());
        if signatures.is_empty() {
            let missing = VerificationError::NoSignaturesForEntity(server_name.to_string());
            return Err(missing.into());
        }
    }
    let keys = BTreeMap::from([(server_name.to_string(), keys)]);
    Ok(verify_json(&keys, &object)?)
}
