//! The server's own signing keys: the one it signs with, and those it used before.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use matryx_entity::{
    canonical,
    old_signing_key::OldSigningKey,
    server_keys::{ServerKey, ServerKeys, later},
};
use matryx_surrealdb::{KeyRange, Store, StoreError};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName,
    serde::Base64,
    signatures::{Ed25519KeyPair, JsonError, sign_json},
};
use serde_json::json;

/// For how long others may keep our keys without asking again.
const VALIDITY: Duration = Duration::from_hours(24);

/// The server's name and keys.
pub struct OwnKeys {
    server_name: OwnedServerName,
    pair: Arc<Ed25519KeyPair>,
    old: Vec<OldSigningKey>,
}

impl OwnKeys {
    /// The current key, and the old ones that the database has: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn load(
        store: &Store,
        server_name: OwnedServerName,
        pair: Arc<Ed25519KeyPair>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            server_name,
            pair,
            old: store.range(KeyRange::all()).await?,
        })
    }

    /// Our name.
    pub fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// The id of the current key.
    pub fn id(&self) -> String {
        format!("ed25519:{}", self.pair.version())
    }

    /// Adds our signature.
    ///
    /// # Errors
    /// The object has `signatures` that are none.
    pub(super) fn sign(&self, object: &mut CanonicalJsonObject) -> Result<(), JsonError> {
        sign_json(self.server_name.as_str(), &*self.pair, object)
    }

    /// What we answer to `GET /_matrix/key/v2/server`.
    ///
    /// # Errors
    /// Can't happen: it is made here.
    pub fn published(
        &self,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<CanonicalJsonObject, JsonError> {
        let old: BTreeMap<_, _> = self
            .old
            .iter()
            .map(|old| {
                (
                    &old.id,
                    json!({ "key": old.key, "expired_ts": old.expired_ts }),
                )
            })
            .collect();
        let published = json!({
            "server_name": self.server_name,
            "verify_keys": { self.id(): { "key": self.public_key() } },
            "old_verify_keys": old,
            "valid_until_ts": later(now, VALIDITY),
        });
        let mut published = serde_json::from_value(published)?;
        self.sign(&mut published)?;
        Ok(published)
    }

    /// Our keys in the form of another server's.
    pub(super) fn known(&self, now: MilliSecondsSinceUnixEpoch) -> Result<ServerKeys, JsonError> {
        let valid_until_ts = later(now, VALIDITY);
        let old = self.old.iter().map(|old| {
            let known = ServerKey {
                key: old.key.clone(),
                valid_until_ts: old.expired_ts,
            };
            (old.id.clone(), known)
        });
        let current = ServerKey {
            key: self.public_key(),
            valid_until_ts,
        };
        Ok(ServerKeys {
            server_name: self.server_name.clone(),
            keys: old.chain([(self.id(), current)]).collect(),
            answer: canonical::to_text(&self.published(now)?),
            valid_until_ts,
        })
    }

    fn public_key(&self) -> Base64 {
        Base64::new(self.pair.public_key().to_vec())
    }
}
