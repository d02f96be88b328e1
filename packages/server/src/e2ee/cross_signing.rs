//! Publishing cross-signing keys.

use matryx_entity::{
    cross_signing_key::{CrossSigningKey, CrossSigningUsage},
    device_keys::DeviceKeys,
    key,
    signed_object::{PublicKey, SignedObject},
};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{UserId, api::client::uiaa::AuthData, encryption, serde::Raw};

use super::{E2ee, E2eeError, stored_object};
use crate::{
    caller::Requester,
    user::{ListChange, Proven},
};

/// The most bytes of a cross-signing key with its signatures.
const MAX_KEY_BYTES: usize = 32 << 10;

/// The cross-signing keys that a user publishes.
#[derive(Clone, Debug, Default)]
pub struct SigningKeys {
    /// Signs the other two.
    pub master: Option<Raw<encryption::CrossSigningKey>>,
    /// Signs devices.
    pub self_signing: Option<Raw<encryption::CrossSigningKey>>,
    /// Signs other users.
    pub user_signing: Option<Raw<encryption::CrossSigningKey>>,
}

/// A key of a use.
struct Key {
    object: SignedObject,
    public: PublicKey,
}

/// One key of each use, where there is one.
#[derive(Default)]
struct Keys {
    master: Option<Key>,
    self_signing: Option<Key>,
    user_signing: Option<Key>,
}

/// What an upload does to what is there.
enum Change {
    /// Nothing that was not there.
    None,
    /// There was no master key.
    First,
    /// A key is new or another, besides or instead of those that are there.
    Replaces,
}

impl E2ee {
    /// Publishes cross-signing keys of the caller, who proves who it is unless these are the first
    /// or there is nothing new in them. Four queries and one commit, besides the proof.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload)
    ///
    /// # Errors
    /// A key has not the form of one or lacks the master key's signature, there is more to prove,
    /// or the database is away.
    pub async fn upload_signing_keys(
        &self,
        requester: &Requester,
        keys: &SigningKeys,
        auth: Option<&AuthData>,
    ) -> Result<(), E2eeError> {
        let users = &self.inner.users;
        let user = &*requester.user_id;
        let keys = Keys::check(user, keys)?;
        let mut proven: Option<Proven> = None;
        loop {
            let guard = users.lock(user).await;
            let stored = self.stored_identity(user).await?;
            keys.check_signatures(user, &stored)?;
            match keys.change(&stored) {
                Change::None => return Ok(()),
                Change::Replaces if proven.is_none() => {
                    drop(guard);
                    let operation = keys.operation();
                    proven = Some(users.prove_owner(requester, &operation, auth).await?);
                }
                Change::First | Change::Replaces => {
                    let proven = proven.unwrap_or_default();
                    return self.commit_signing_keys(user, keys, stored, &proven).await;
                }
            }
        }
    }

    async fn commit_signing_keys(
        &self,
        user: &UserId,
        mut keys: Keys,
        stored: Keys,
        proven: &Proven,
    ) -> Result<(), E2eeError> {
        let users = &self.inner.users;
        let devices = users.list_stored_devices(user).await?;
        let in_use = |key: &Key| {
            let mut devices = devices.iter();
            devices.any(|device| device.device_id.as_str() == key.public.name())
        };
        if keys.each().any(|(_, key)| in_use(key)) {
            return Err(E2eeError::KeyIdInUse);
        }
        let signers = self.device_signers(user).await?;
        keys.keep_signatures(user, &signers, &stored);
        let mut plan = Plan::new();
        // What an old master key signed is worth nothing under a new one.
        if keys
            .master
            .as_ref()
            .is_some_and(|new| !new.is(stored.master.as_ref()))
        {
            for (usage, _) in stored.each() {
                plan.delete::<CrossSigningKey>(&CrossSigningKey::key_of(user, usage));
            }
        }
        for (usage, key) in keys.each() {
            plan.put(&CrossSigningKey {
                user: user.to_owned(),
                usage,
                json: key.object.to_text(),
            });
        }
        let change = ListChange {
            devices: Vec::new(),
            cross_signing: true,
        };
        users.plan_list_change(&mut plan, user, change).await?;
        proven.finish(&mut plan);
        self.inner.store.commit(plan).await?;
        Ok(())
    }

    /// The user's cross-signing keys: one query.
    async fn stored_identity(&self, user: &UserId) -> Result<Keys, E2eeError> {
        let range = KeyRange::prefix(&key![user.as_str()]);
        let mut keys = Keys::default();
        for stored in self.inner.store.range::<CrossSigningKey>(range).await? {
            let object = stored_object(&stored.json)?;
            if let Some(public) = object.cross_signing_key() {
                *keys.slot(stored.usage) = Some(Key { object, public });
            }
        }
        Ok(keys)
    }

    /// The keys of the user's devices: one query.
    pub(super) async fn device_signers(&self, user: &UserId) -> Result<Vec<PublicKey>, E2eeError> {
        let range = KeyRange::prefix(&key![user.as_str()]);
        let mut signers = Vec::new();
        for device in self.inner.store.range::<DeviceKeys>(range).await? {
            signers.extend(stored_object(&device.json)?.device_key(&device.device_id));
        }
        Ok(signers)
    }
}

impl Key {
    fn is(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| self.public == other.public)
    }
}

impl Keys {
    /// Reads the keys of an upload.
    fn check(user: &UserId, keys: &SigningKeys) -> Result<Self, E2eeError> {
        let check = |key: &Option<Raw<encryption::CrossSigningKey>>, usage| {
            let Some(key) = key else {
                return Ok(None);
            };
            let json = key.json().get();
            if json.len() > MAX_KEY_BYTES {
                return Err(E2eeError::TooLarge("A cross-signing key is too large"));
            }
            let object = SignedObject::parse(json)?;
            let public = object.check_cross_signing_key(user, usage)?;
            Ok(Some(Key { object, public }))
        };
        Ok(Self {
            master: check(&keys.master, CrossSigningUsage::Master)?,
            self_signing: check(&keys.self_signing, CrossSigningUsage::SelfSigning)?,
            user_signing: check(&keys.user_signing, CrossSigningUsage::UserSigning)?,
        })
    }

    fn slot(&mut self, usage: CrossSigningUsage) -> &mut Option<Key> {
        match usage {
            CrossSigningUsage::Master => &mut self.master,
            CrossSigningUsage::SelfSigning => &mut self.self_signing,
            CrossSigningUsage::UserSigning => &mut self.user_signing,
        }
    }

    fn each(&self) -> impl Iterator<Item = (CrossSigningUsage, &Key)> {
        let all = [&self.master, &self.self_signing, &self.user_signing];
        let all = CrossSigningUsage::ALL.into_iter().zip(all);
        all.filter_map(|(usage, key)| Some((usage, key.as_ref()?)))
    }

    /// The master key must be there, in the upload or from before, and have signed the others.
    fn check_signatures(&self, user: &UserId, stored: &Self) -> Result<(), E2eeError> {
        let master = self.master.as_ref().or(stored.master.as_ref());
        let master = master.ok_or(E2eeError::NoMasterKey)?;
        for key in [&self.self_signing, &self.user_signing]
            .into_iter()
            .flatten()
        {
            key.object.must_be_signed(user, &master.public)?;
        }
        Ok(())
    }

    fn change(&self, stored: &Self) -> Change {
        let is_known = |key: &Option<Key>, known: &Option<Key>| match (key, known) {
            (Some(key), Some(known)) => key.object.says_the_same(&known.object),
            (key, _) => key.is_none(),
        };
        if stored.master.is_none() {
            Change::First
        } else if is_known(&self.master, &stored.master)
            && is_known(&self.self_signing, &stored.self_signing)
            && is_known(&self.user_signing, &stored.user_signing)
        {
            Change::None
        } else {
            Change::Replaces
        }
    }

    /// What the user proves to be allowed: to publish these keys and no others.
    fn operation(&self) -> String {
        let mut operation = "device_signing".to_owned();
        for (usage, key) in self.each() {
            operation.push(' ');
            operation.push_str(usage.as_str());
            operation.push(' ');
            operation.push_str(key.public.name());
        }
        operation
    }

    /// Drops the signatures that nobody can check: the master key may be signed by itself and by
    /// the user's devices, the others are signed by the master key. Of a master key that is there
    /// already, the known signatures stay.
    fn keep_signatures(&mut self, user: &UserId, devices: &[PublicKey], stored: &Self) {
        let master = self.master.as_ref().or(stored.master.as_ref());
        let Some(master) = master.map(|master| master.public.clone()) else {
            return;
        };
        if let Some(key) = &mut self.master {
            let mut signers = devices.to_vec();
            signers.push(master.clone());
            key.object.keep_signatures(user, &signers);
            let known = stored
                .master
                .as_ref()
                .filter(|known| key.object.says_the_same(&known.object));
            if let Some(known) = known {
                key.object.add_signatures_of(user, &known.object);
            }
        }
        let others = [&mut self.self_signing, &mut self.user_signing];
        for key in others.into_iter().flatten() {
            key.object
                .keep_signatures(user, std::slice::from_ref(&master));
        }
    }
}
