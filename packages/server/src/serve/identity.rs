//! Whose database this is: the server's name and signing key, and the change of the latter.

use std::fs;

use matryx_entity::{
    clock::Clock, old_signing_key::OldSigningKey, server_identity::ServerIdentity,
};
use matryx_surrealdb::{Plan, Store};
use ruma::{ServerName, serde::Base64};

use super::StartError;
use crate::{
    config::Config,
    data_dir::DataDir,
    signing_key::{SigningKey, SigningKeyError},
};

/// Holds name and signing key against those that the database belongs to, and notes them in a new
/// one. The key that is to be used from now on.
///
/// A change of keys that was cut off after it was committed is brought to its end.
pub(super) async fn check(
    store: &Store,
    server_name: &ServerName,
    key: SigningKey,
    data_dir: &DataDir,
) -> Result<SigningKey, StartError> {
    let Some(known) = store.get::<ServerIdentity>(&ServerIdentity::only()).await? else {
        let mut plan = Plan::new();
        plan.create(&ServerIdentity {
            server_name: server_name.to_owned(),
            signing_key: key.fingerprint.clone(),
        });
        store.commit(plan).await?;
        return Ok(key);
    };
    if known.server_name != server_name {
        return Err(StartError::ServerName {
            found: known.server_name,
            configured: server_name.to_owned(),
        });
    }
    if known.signing_key == key.fingerprint {
        return Ok(key);
    }
    match SigningKey::load(&data_dir.next_signing_key_file()) {
        Ok(next) if next.fingerprint == known.signing_key => {
            adopt(data_dir)?;
            Ok(next)
        }
        _ => Err(StartError::OtherKey {
            file: data_dir.signing_key_file().display().to_string(),
            found: known.signing_key,
        }),
    }
}

/// The ids of the keys before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key that is no longer used, and stays published.
    pub old: String,
    /// The key that is used from now on.
    pub new: String,
}

/// Makes a new signing key, and publishes the one before as expired. The server must be stopped.
///
/// # Errors
/// As at the start of the server.
pub async fn rotate_signing_key(config: &Config, clock: &dyn Clock) -> Result<Rotated, StartError> {
    let data_dir = DataDir::open(&config.data_dir)?;
    let key = SigningKey::load(&data_dir.signing_key_file())?;
    let store = Store::open(&config.store_config()).await?;
    let rotated = rotate(&store, config, key, &data_dir, clock).await;
    store.close().await;
    rotated
}

async fn rotate(
    store: &Store,
    config: &Config,
    key: SigningKey,
    data_dir: &DataDir,
    clock: &dyn Clock,
) -> Result<Rotated, StartError> {
    let key = check(store, &config.server_name, key, data_dir).await?;
    // The new key is on disk before the database belongs to it, and takes the place of the old one
    // after that: whenever this is cut off, the start finds the key of the database.
    let next = SigningKey::generate(&data_dir.next_signing_key_file())?;
    let old = OldSigningKey {
        id: key.id(),
        key: Base64::new(key.pair.public_key().to_vec()),
        expired_ts: clock.now(),
    };
    let mut plan = Plan::new();
    plan.create(&old);
    plan.put(&ServerIdentity {
        server_name: config.server_name.clone(),
        signing_key: next.fingerprint.clone(),
    });
    store.commit(plan).await?;
    adopt(data_dir)?;
    Ok(Rotated {
        old: old.id,
        new: next.id(),
    })
}

/// Puts the next signing key in the place of the current one.
fn adopt(data_dir: &DataDir) -> Result<(), SigningKeyError> {
    let path = data_dir.next_signing_key_file();
    fs::rename(&path, data_dir.signing_key_file())
        .map_err(|source| SigningKeyError::Unusable { path, source })
}
