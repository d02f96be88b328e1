//! The one-time and fallback keys of one device: which are there, and which may be added.

use std::collections::{BTreeMap, HashMap};

use matryx_entity::{
    canonical,
    fallback_key::FallbackKey,
    issued_key::IssuedKey,
    one_time_key::OneTimeKey,
    signed_object::{KeyFault, PublicKey, SignedObject},
    stored::Stored,
    token_hash::TokenHash,
};
use matryx_surrealdb::{KeyRange, Plan, Store, StoreError};
use ruma::{
    DeviceId, OneTimeKeyAlgorithm, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, UInt, UserId,
    encryption,
    serde::{Base64, Raw, base64::Standard},
};

use super::{E2eeError, upload::KeyCounts};

/// The most unclaimed one-time keys of a device. Clients keep 50 to 100.
const MAX_ONE_TIME_KEYS: usize = 500;
/// The most algorithms for which a device has fallback keys.
const MAX_FALLBACK_KEYS: usize = 20;
/// The most bytes of a one-time key.
const MAX_KEY_BYTES: usize = 4 << 10;
/// The most bytes of the id of a one-time key, with its algorithm.
const MAX_KEY_ID_BYTES: usize = 255;
/// How many of a device's issued one-time keys are remembered: many more than a client uploads at
/// once, so that an upload that is repeated brings none of them back.
const ISSUED_KEPT: usize = 200;

const SIGNED: &str = "signed_curve25519";
const UNSIGNED: &str = "curve25519";

/// A one-time or fallback key that was checked.
pub(super) struct Checked {
    algorithm: String,
    key_id: String,
    json: String,
}

/// The keys of a device that it gives out.
pub(super) struct Stock {
    user: OwnedUserId,
    device_id: OwnedDeviceId,
    one_time: Vec<OneTimeKey>,
    issued: Vec<IssuedKey>,
    fallback: Vec<FallbackKey>,
}

impl Stock {
    /// Three queries.
    pub(super) async fn load(
        store: &Store,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Self, StoreError> {
        let range = KeyRange::prefix(&OneTimeKey::prefix(user, device));
        Ok(Self {
            user: user.to_owned(),
            device_id: device.to_owned(),
            one_time: store.range::<OneTimeKey>(range.clone()).await?,
            issued: store.range::<IssuedKey>(range.clone()).await?,
            fallback: store.range::<FallbackKey>(range).await?,
        })
    }

    /// Takes everything off. Whether there was anything to give.
    pub(super) fn clear(&mut self, plan: &mut Plan) -> bool {
        let had_keys = !self.one_time.is_empty() || !self.fallback.is_empty();
        for key in self.one_time.drain(..) {
            plan.delete::<OneTimeKey>(&key.key());
        }
        for key in self.issued.drain(..) {
            plan.delete::<IssuedKey>(&key.key());
        }
        for key in self.fallback.drain(..) {
            plan.delete::<FallbackKey>(&key.key());
        }
        had_keys
    }

    /// How many one-time keys there are. That of the usual algorithm is told also when there are
    /// none.
    pub(super) fn count(&self) -> KeyCounts {
        let mut counts = BTreeMap::from([(OneTimeKeyAlgorithm::SignedCurve25519, UInt::MIN)]);
        for key in &self.one_time {
            let count = counts.entry(key.algorithm.as_str().into()).or_default();
            *count = count.saturating_add(UInt::from(1_u8));
        }
        counts
    }

    /// Puts more one-time keys on it. A key that is there already, or that was issued, stays what
    /// it is. Whether there are more now.
    pub(super) fn add(&mut self, plan: &mut Plan, keys: Vec<Checked>) -> Result<bool, E2eeError> {
        let numbers = self.one_time.iter().map(|key| key.no);
        let numbers = numbers.chain(self.issued.iter().map(|key| key.no));
        let next = numbers.max().map_or(0, |newest| newest + 1);
        let here: HashMap<_, _> = self
            .one_time
            .iter()
            .map(|key| ((key.algorithm.as_str(), key.key_id.as_str()), key))
            .collect();
        let gone: HashMap<_, _> = self
            .issued
            .iter()
            .map(|key| ((key.algorithm.as_str(), key.key_id.as_str()), key))
            .collect();
        let mut added = Vec::new();
        for (key, no) in keys.into_iter().zip(next..) {
            let name = (key.algorithm.as_str(), key.key_id.as_str());
            match here.get(&name) {
                Some(known) if known.json == key.json => continue,
                Some(_) => {
                    let id = format!("{}:{}", key.algorithm, key.key_id);
                    return Err(E2eeError::KeyExists(id));
                }
                None => {}
            }
            if let Some(issued) = gone.get(&name) {
                if issued.hash == TokenHash::of(&key.json) {
                    continue;
                }
                plan.delete::<IssuedKey>(&issued.key());
            }
            added.push(OneTimeKey {
                user: self.user.clone(),
                device_id: self.device_id.clone(),
                algorithm: key.algorithm,
                key_id: key.key_id,
                no,
                json: key.json,
            });
        }
        drop((here, gone));
        if self.one_time.len() + added.len() > MAX_ONE_TIME_KEYS {
            return Err(E2eeError::TooLarge("The device has too many one-time keys"));
        }
        if added.is_empty() {
            return Ok(false);
        }
        for key in &added {
            plan.put(key);
        }
        self.one_time.append(&mut added);
        self.forget_issued(plan);
        Ok(true)
    }

    /// Forgets the oldest issued keys.
    fn forget_issued(&mut self, plan: &mut Plan) {
        self.issued
            .sort_unstable_by_key(|key| std::cmp::Reverse(key.no));
        for key in self.issued.iter().skip(ISSUED_KEPT) {
            plan.delete_after::<IssuedKey>(&key.key());
        }
        self.issued.truncate(ISSUED_KEPT);
    }

    /// Replaces fallback keys. One that is there already stays as used as it is. Whether one is
    /// new.
    pub(super) fn replace_fallback(
        &mut self,
        plan: &mut Plan,
        keys: Vec<Checked>,
    ) -> Result<bool, E2eeError> {
        let mut by_algorithm: BTreeMap<String, Checked> = BTreeMap::new();
        for key in keys {
            let before = by_algorithm.insert(key.algorithm.clone(), key);
            if before.is_some() {
                return Err(E2eeError::InvalidParam(
                    "There can be one fallback key for each algorithm",
                ));
            }
        }
        let mut changed = false;
        for (algorithm, key) in by_algorithm {
            let is_old = |old: &FallbackKey| old.algorithm == algorithm;
            let known = self.fallback.iter().find(|old| is_old(old));
            if known.is_some_and(|old| old.key_id == key.key_id && old.json == key.json) {
                continue;
            }
            self.fallback.retain(|old| !is_old(old));
            let new = FallbackKey {
                user: self.user.clone(),
                device_id: self.device_id.clone(),
                algorithm,
                key_id: key.key_id,
                json: key.json,
                used: false,
            };
            plan.put(&new);
            self.fallback.push(new);
            changed = true;
        }
        if self.fallback.len() > MAX_FALLBACK_KEYS {
            return Err(E2eeError::TooLarge("The device has too many fallback keys"));
        }
        Ok(changed)
    }
}

/// Checks the one-time or fallback keys of a device of the user with this identity key.
pub(super) fn check_all(
    user: &UserId,
    identity: Option<&PublicKey>,
    keys: &BTreeMap<OwnedOneTimeKeyId, Raw<encryption::OneTimeKey>>,
) -> Result<Vec<Checked>, E2eeError> {
    if keys.len() > MAX_ONE_TIME_KEYS {
        return Err(E2eeError::TooLarge("There are too many keys in one upload"));
    }
    let keys = keys.iter();
    keys.map(|(id, key)| check(user, identity, id.as_str(), key.json().get()))
        .collect()
}

/// A key of an algorithm that this server does not know is for the clients that do to judge.
fn check(
    user: &UserId,
    identity: Option<&PublicKey>,
    id: &str,
    json: &str,
) -> Result<Checked, E2eeError> {
    if id.len() > MAX_KEY_ID_BYTES || json.len() > MAX_KEY_BYTES {
        return Err(E2eeError::TooLarge("A one-time key is too large"));
    }
    let (algorithm, key_id) = id.split_once(':').unwrap_or_default();
    if algorithm.is_empty() || key_id.is_empty() {
        return Err(E2eeError::InvalidParam("A one-time key has no proper ID"));
    }
    let text = serde_json::from_str::<String>(json).ok();
    let json = match (algorithm, text) {
        (SIGNED, None) => {
            let identity = identity.ok_or(E2eeError::InvalidParam(
                "The device has no identity keys that could have signed a one-time key",
            ))?;
            let mut key = SignedObject::parse(json)?;
            key.check_one_time_key(user, identity)?;
            key.keep_signatures(user, std::slice::from_ref(identity));
            key.to_text()
        }
        (SIGNED, Some(_)) => {
            return Err(E2eeError::InvalidParam("A signed key must be an object"));
        }
        (UNSIGNED, Some(text)) if is_curve25519(&text) => quoted(&text)?,
        (UNSIGNED, _) => {
            return Err(E2eeError::InvalidParam(
                "A one-time key is no curve25519 key",
            ));
        }
        (_, Some(text)) => quoted(&text)?,
        (_, None) => {
            let object = canonical::parse_object(json).map_err(KeyFault::Json)?;
            canonical::to_text(&object)
        }
    };
    Ok(Checked {
        algorithm: algorithm.to_owned(),
        key_id: key_id.to_owned(),
        json,
    })
}

fn quoted(text: &str) -> Result<String, E2eeError> {
    serde_json::to_string(text).map_err(E2eeError::Json)
}

fn is_curve25519(text: &str) -> bool {
    Base64::<Standard>::parse(text).is_ok_and(|key| key.as_bytes().len() == 32)
}
