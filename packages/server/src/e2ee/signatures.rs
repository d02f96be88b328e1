//! Taking in signatures: of the user's own devices and master key, and of other users.

use std::collections::BTreeMap;

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device_keys::DeviceKeys,
    key_signature::KeySignature,
    log::LogEntry,
    position::Position,
    signed_object::{Proof, PublicKey, SignedObject},
};
use matryx_surrealdb::Plan;
use ruma::{OwnedUserId, UserId, api::client::keys::upload_signatures::v3::SignedKeys};

use super::{E2ee, E2eeError, stored_object};
use crate::user::ListChange;

/// The most signed keys of one request.
const MAX_SIGNED: usize = 1_000;
/// The most bytes of a signed key.
const MAX_KEY_BYTES: usize = 32 << 10;

/// The most signed keys that one log entry stands for.
const SIGNED_PER_ENTRY: usize = 20;

/// Why a signature was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFailure {
    /// There is no such key.
    NotFound,
    /// It is not the key that is known by that name, or no key at all.
    Mismatch,
    /// Nobody signed it who may, or the signature is wrong.
    Signature,
}

/// The signatures that were not taken in, by user and key.
pub type SignatureFailures = BTreeMap<OwnedUserId, BTreeMap<String, SignatureFailure>>;

/// What a request changes.
#[derive(Default)]
struct Merge {
    devices: BTreeMap<String, DeviceKeys>,
    master: Option<CrossSigningKey>,
    others: Vec<KeySignature>,
    failures: SignatureFailures,
}

impl E2ee {
    /// Takes in what the user signed: up to two queries for each key and one commit.
    ///
    /// # Errors
    /// There are too many, or the database is away.
    pub async fn upload_signatures(
        &self,
        user: &UserId,
        signed: &BTreeMap<OwnedUserId, SignedKeys>,
    ) -> Result<SignatureFailures, E2eeError> {
        let count: usize = signed.values().map(|keys| keys.iter().count()).sum();
        if count > MAX_SIGNED {
            return Err(E2eeError::TooLarge("Too many keys are signed at once"));
        }
        let _guard = self.inner.users.lock(user).await;
        let mut merge = Merge::default();
        for (target, keys) in signed {
            for (name, json) in keys {
                let outcome = if target == user {
                    self.merge_own(&mut merge, user, name, json.get()).await?
                } else {
                    self.merge_other(&mut merge, (user, target), name, json.get())
                        .await?
                };
                if let Err(failure) = outcome {
                    let failures = merge.failures.entry(target.clone()).or_default();
                    failures.insert(name.to_owned(), failure);
                }
            }
        }
        let mut plan = Plan::new();
        let change = ListChange {
            devices: merge
                .devices
                .values()
                .map(|keys| keys.device_id.clone())
                .collect(),
            cross_signing: merge.master.is_some(),
        };
        for keys in merge.devices.values() {
            plan.put(keys);
        }
        if let Some(master) = &merge.master {
            plan.put(master);
        }
        self.inner
            .users
            .plan_list_change(&mut plan, user, change)
            .await?;
        plan_others(&mut plan, user, &merge.others);
        if !plan.is_empty() {
            self.inner.store.commit(plan).await?;
        }
        Ok(merge.failures)
    }

    /// A signature of one of the user's devices by the user's self-signing key, or of the user's
    /// master key by a device.
    async fn merge_own(
        &self,
        merge: &mut Merge,
        user: &UserId,
        name: &str,
        json: &str,
    ) -> Result<Result<(), SignatureFailure>, E2eeError> {
        let store = &self.inner.store;
        let Some(signed) = read(json) else {
            return Ok(Err(SignatureFailure::Mismatch));
        };
        let device = DeviceKeys::key_of(user, name.into());
        if let Some(mut stored) = store.get::<DeviceKeys>(&device).await? {
            let by = self
                .public_key(user, CrossSigningUsage::SelfSigning)
                .await?;
            let known = stored_object(&stored.json)?;
            let outcome = merged(known, &signed, user, by.as_slice());
            return Ok(outcome.map(|json| {
                if json != stored.json {
                    stored.json = json;
                    merge.devices.insert(name.to_owned(), stored);
                }
            }));
        }
        let master = CrossSigningKey::key_of(user, CrossSigningUsage::Master);
        let Some(mut stored) = store.get::<CrossSigningKey>(&master).await? else {
            return Ok(Err(SignatureFailure::NotFound));
        };
        let known = stored_object(&stored.json)?;
        if known
            .cross_signing_key()
            .is_none_or(|key| key.name() != name)
        {
            return Ok(Err(SignatureFailure::NotFound));
        }
        let signers = self.device_signers(user).await?;
        Ok(merged(known, &signed, user, &signers).map(|json| {
            if json != stored.json {
                stored.json = json;
                merge.master = Some(stored);
            }
        }))
    }

    /// A signature of another user's master key by the user's user-signing key.
    async fn merge_other(
        &self,
        merge: &mut Merge,
        (user, target): (&UserId, &UserId),
        name: &str,
        json: &str,
    ) -> Result<Result<(), SignatureFailure>, E2eeError> {
        let Some(signed) = read(json) else {
            return Ok(Err(SignatureFailure::Mismatch));
        };
        let keys = if self.inner.users.is_local(target) {
            self.of_local(target).await?
        } else {
            self.of_remote(target).await?
        };
        let Some(keys) = keys else {
            return Ok(Err(SignatureFailure::NotFound));
        };
        let known = keys.master.as_ref();
        let known = known.and_then(|key| SignedObject::parse(key.json().get()).ok());
        let Some(known) = known else {
            return Ok(Err(SignatureFailure::NotFound));
        };
        if known
            .cross_signing_key()
            .is_none_or(|key| key.name() != name)
        {
            return Ok(Err(SignatureFailure::NotFound));
        }
        if !known.says_the_same(&signed) {
            return Ok(Err(SignatureFailure::Mismatch));
        }
        let by = self
            .public_key(user, CrossSigningUsage::UserSigning)
            .await?;
        let by = by.filter(|key| signed.proof(user, key) == Proof::Valid);
        let signature = by.and_then(|key| {
            let signature = signed.signature(user, &key.id())?;
            Some(BTreeMap::from([(key.id(), signature.to_owned())]))
        });
        let Some(signature) = signature else {
            return Ok(Err(SignatureFailure::Signature));
        };
        merge.others.push(KeySignature {
            signer: user.to_owned(),
            target: target.to_owned(),
            key_id: name.to_owned(),
            signatures: serde_json::to_string(&signature).map_err(E2eeError::Json)?,
            at: Position::default(),
        });
        Ok(Ok(()))
    }

    /// The public half of a cross-signing key of a user of this server: one query.
    async fn public_key(
        &self,
        user: &UserId,
        usage: CrossSigningUsage,
    ) -> Result<Option<PublicKey>, E2eeError> {
        let key = CrossSigningKey::key_of(user, usage);
        match self.inner.store.get::<CrossSigningKey>(&key).await? {
            Some(key) => Ok(stored_object(&key.json)?.cross_signing_key()),
            None => Ok(None),
        }
    }
}

fn read(json: &str) -> Option<SignedObject> {
    if json.len() > MAX_KEY_BYTES {
        return None;
    }
    SignedObject::parse(json).ok()
}

/// A known key with the new signatures of those who may sign it.
fn merged(
    mut known: SignedObject,
    signed: &SignedObject,
    user: &UserId,
    signers: &[PublicKey],
) -> Result<String, SignatureFailure> {
    if !known.says_the_same(signed) {
        return Err(SignatureFailure::Mismatch);
    }
    let mut is_signed = false;
    for key in signers {
        match signed.proof(user, key) {
            Proof::Missing => {}
            Proof::Wrong => return Err(SignatureFailure::Signature),
            Proof::Valid => {
                if let Some(signature) = signed.signature(user, &key.id()) {
                    known.add_signature(user, key.id(), signature.to_owned());
                    is_signed = true;
                }
            }
        }
    }
    if is_signed {
        Ok(known.to_text())
    } else {
        Err(SignatureFailure::Signature)
    }
}

/// Writes what the user says of others, and that the user is to be shown so.
fn plan_others(plan: &mut Plan, user: &UserId, others: &[KeySignature]) {
    for others in others.chunks(SIGNED_PER_ENTRY) {
        let mut targets: Vec<_> = others.iter().map(|signed| signed.target.clone()).collect();
        targets.dedup();
        let entry = plan.log(LogEntry::Signed {
            user: user.to_owned(),
            targets,
        });
        for signed in others {
            plan.put_stamped(signed, entry);
        }
    }
}
