//! Sessions: giving out tokens, refreshing and taking them back.

use std::time::Duration;

use matryx_entity::{
    access_token::AccessToken,
    device::{Device, TokenPair},
    device_activity::DeviceActivity,
    log::LogEntry,
    refresh_token::RefreshToken,
    token_hash::TokenHash,
    user::User,
};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use super::{ListChange, UserError, Users, later, secret};
use crate::caller::Requester;
use matryx_entity::key;

/// The longest device id, in characters, as Synapse.
const MAX_DEVICE_ID_CHARS: usize = 512;
/// The longest name of a device, in characters, as Synapse.
pub(super) const MAX_DEVICE_NAME_CHARS: usize = 100;

/// What a client asks for when it logs in or registers.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// The device to use; none or empty for a new one.
    pub device_id: Option<OwnedDeviceId>,
    /// The name of a new device.
    pub display_name: Option<String>,
    /// The client can use refresh tokens.
    pub refreshable: bool,
}

impl NewSession {
    pub(super) fn check(&self) -> Result<(), UserError> {
        check_device(self.device_id.as_deref(), self.display_name.as_deref())
    }
}

/// Refuses ids and names of devices that are too long.
pub(crate) fn check_device(id: Option<&DeviceId>, name: Option<&str>) -> Result<(), UserError> {
    if id.is_some_and(|id| id.as_str().chars().count() > MAX_DEVICE_ID_CHARS) {
        return Err(UserError::InvalidParam("The device ID is too long"));
    }
    check_device_name(name)
}

pub(super) fn check_device_name(name: Option<&str>) -> Result<(), UserError> {
    if name.is_some_and(|name| name.chars().count() > MAX_DEVICE_NAME_CHARS) {
        return Err(UserError::TooLarge("The name of the device is too long"));
    }
    Ok(())
}

/// Tokens that were given out. They are known here only.
#[derive(Clone)]
pub struct Session {
    /// Whose.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The access token.
    pub access_token: String,
    /// The refresh token, for a client that uses them.
    pub refresh_token: Option<String>,
    /// When the access token stops being valid.
    pub expires_in: Option<Duration>,
}

impl Users {
    /// Logs an account in: one query and one commit. The caller has proved who it is.
    ///
    /// # Errors
    /// The account is deactivated or locked, or the session that is asked for is not acceptable.
    pub async fn open_session(&self, user: &User, new: NewSession) -> Result<Session, UserError> {
        new.check()?;
        let _guard = self.lock(&user.user_id).await;
        // The account may have been closed since it was read.
        let user = self.lookup(&user.user_id).await?;
        let user = user.ok_or(UserError::BadCredentials)?;
        if user.deactivated.is_some() {
            return Err(UserError::Deactivated);
        }
        if user.locked {
            return Err(UserError::Locked);
        }
        let known = match new.device_id.as_ref().filter(|id| !id.as_str().is_empty()) {
            Some(id) => {
                let key = Device::key_of(&user.user_id, id);
                self.inner.store.get::<Device>(&key).await?
            }
            None => None,
        };
        let mut plan = Plan::new();
        let session = self
            .plan_session(&mut plan, &user.user_id, new, known)
            .await?;
        self.inner.store.commit(plan).await?;
        Ok(session)
    }

    /// Adds a session to a plan. An existing device keeps its name and keys and loses its tokens;
    /// for a new one, one query.
    pub(super) async fn plan_session(
        &self,
        plan: &mut Plan,
        user: &UserId,
        new: NewSession,
        known: Option<Device>,
    ) -> Result<Session, UserError> {
        let mut device = if let Some(device) = known {
            for pair in [device.tokens, device.previous].into_iter().flatten() {
                delete_pair(plan, &pair);
            }
            plan.log(LogEntry::Revoked {
                user: user.to_owned(),
                device: Some(device.device_id.clone()),
            });
            Device {
                tokens: None,
                previous: None,
                ..device
            }
        } else {
            let named = new.device_id.filter(|id| !id.as_str().is_empty());
            let device_id = if let Some(named) = named {
                self.plan_nothing_waits(plan, user, &named).await?;
                named
            } else {
                secret::device_id()
            };
            let change = ListChange::of(device_id.clone());
            self.plan_list_change(plan, user, change).await?;
            self.new_device(user, device_id, new.display_name)
        };
        let session = self.plan_tokens(plan, &mut device, new.refreshable);
        plan.put(&device);
        Ok(session)
    }

    /// A device that has no tokens yet.
    pub(crate) fn new_device(
        &self,
        user: &UserId,
        device_id: OwnedDeviceId,
        display_name: Option<String>,
    ) -> Device {
        Device {
            user: user.to_owned(),
            device_id,
            display_name,
            created_ts: self.now(),
            tokens: None,
            previous: None,
        }
    }

    /// Gives a device new tokens; the caller writes the device.
    fn plan_tokens(&self, plan: &mut Plan, device: &mut Device, refreshable: bool) -> Session {
        let config = &self.inner.config.session;
        let now = self.now();
        let access_token = secret::token("mat_");
        let refresh_token = refreshable.then(|| secret::token("mrt_"));
        let expires_in = if refreshable {
            Some(config.refreshable_access_token_lifetime)
        } else {
            config.access_token_lifetime
        };
        let pair = TokenPair {
            access: TokenHash::of(&access_token),
            refresh: refresh_token.as_deref().map(TokenHash::of),
        };
        plan.put(&AccessToken {
            hash: pair.access,
            user: device.user.clone(),
            device_id: device.device_id.clone(),
            expires_ts: expires_in.map(|lifetime| later(now, lifetime)),
        });
        if let Some(hash) = pair.refresh {
            plan.put(&RefreshToken {
                hash,
                user: device.user.clone(),
                device_id: device.device_id.clone(),
                expires_ts: config
                    .refresh_token_lifetime
                    .map(|lifetime| later(now, lifetime)),
            });
        }
        device.tokens = Some(pair);
        Session {
            user_id: device.user.clone(),
            device_id: device.device_id.clone(),
            access_token,
            refresh_token,
            expires_in,
        }
    }

    /// Exchanges a refresh token for new tokens: three queries and one commit.
    ///
    /// The tokens before stay valid until a new one is used, so the same refresh token can be
    /// exchanged again when the answer got lost; the unused tokens of the lost answer end then.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens)
    ///
    /// # Errors
    /// The token is not valid, or the account is deactivated or locked.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, UserError> {
        let hash = TokenHash::of(refresh_token);
        let store = &self.inner.store;
        let token = store
            .get::<RefreshToken>(&RefreshToken::key_of(hash))
            .await?;
        let token = token.ok_or(UserError::UnknownToken)?;
        let _guard = self.lock(&token.user).await;
        let user = self.lookup(&token.user).await?;
        let user = user.ok_or(UserError::UnknownToken)?;
        if user.deactivated.is_some() {
            return Err(UserError::Deactivated);
        }
        if user.locked {
            return Err(UserError::Locked);
        }
        let key = Device::key_of(&token.user, &token.device_id);
        let device = store.get::<Device>(&key).await?;
        let mut device = device.ok_or(UserError::UnknownToken)?;
        let mut plan = Plan::new();
        if is_refresh(device.tokens, hash) {
            if let Some(oldest) = device.previous.take() {
                delete_pair(&mut plan, &oldest);
            }
            device.previous = device.tokens.take();
        } else if is_refresh(device.previous, hash) {
            if let Some(unused) = device.tokens.take() {
                delete_pair(&mut plan, &unused);
            }
        } else {
            return Err(UserError::UnknownToken);
        }
        if token
            .expires_ts
            .is_some_and(|expires| expires <= self.now())
        {
            return Err(UserError::ExpiredToken);
        }
        plan.log(LogEntry::Revoked {
            user: device.user.clone(),
            device: Some(device.device_id.clone()),
        });
        let session = self.plan_tokens(&mut plan, &mut device, true);
        plan.put(&device);
        store.commit(plan).await?;
        Ok(session)
    }

    /// Ends the caller's session and removes its device. An application service that named no
    /// device has no session to end.
    ///
    /// # Errors
    /// The database is away.
    pub async fn log_out(&self, requester: &Requester) -> Result<(), UserError> {
        match &requester.device_id {
            Some(device) => {
                self.remove_devices(&requester.user_id, std::slice::from_ref(device))
                    .await
            }
            None => Ok(()),
        }
    }

    /// Ends all sessions of a user and removes all devices.
    ///
    /// # Errors
    /// The database is away.
    pub async fn log_out_everywhere(&self, user: &UserId) -> Result<(), UserError> {
        self.remove_devices_but(user, None).await
    }

    /// Removes devices with their tokens; those that do not exist are passed over.
    pub(super) async fn remove_devices(
        &self,
        user: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), UserError> {
        let _guard = self.lock(user).await;
        let keys: Vec<_> = devices.iter().map(|id| Device::key_of(user, id)).collect();
        let devices = self.inner.store.get_many::<Device>(&keys).await?;
        let devices: Vec<_> = devices.into_iter().flatten().collect();
        self.commit_removal(user, &devices).await
    }

    /// Removes all devices of a user but one.
    pub(super) async fn remove_devices_but(
        &self,
        user: &UserId,
        kept: Option<&DeviceId>,
    ) -> Result<(), UserError> {
        let _guard = self.lock(user).await;
        let mut devices = self.list_stored_devices(user).await?;
        devices.retain(|device| Some(&*device.device_id) != kept);
        self.commit_removal(user, &devices).await
    }

    /// All devices of a user: one query.
    pub(crate) async fn list_stored_devices(
        &self,
        user: &UserId,
    ) -> Result<Vec<Device>, UserError> {
        let range = KeyRange::prefix(&key![user.as_str()]);
        Ok(self.inner.store.range::<Device>(range).await?)
    }

    /// Removes devices with their tokens. The caller holds the user's lock.
    pub(crate) async fn commit_removal(
        &self,
        user: &UserId,
        devices: &[Device],
    ) -> Result<(), UserError> {
        if devices.is_empty() {
            return Ok(());
        }
        let mut plan = Plan::new();
        for device in devices {
            for pair in [device.tokens, device.previous].into_iter().flatten() {
                delete_pair(&mut plan, &pair);
            }
            plan.log(LogEntry::Revoked {
                user: user.to_owned(),
                device: Some(device.device_id.clone()),
            });
        }
        let change = self.plan_removal(&mut plan, user, devices).await?;
        self.plan_list_change(&mut plan, user, change).await?;
        self.inner.store.commit(plan).await?;
        Ok(())
    }

    /// Everything of devices but their tokens, and what that changes of the user's list. Four
    /// queries.
    pub(super) async fn plan_removal(
        &self,
        plan: &mut Plan,
        user: &UserId,
        devices: &[Device],
    ) -> Result<ListChange, UserError> {
        let mut change = ListChange::default();
        for Device { device_id, .. } in devices {
            self.inner.activity.forget(user, device_id);
            plan.delete::<Device>(&Device::key_of(user, device_id));
            plan.delete::<DeviceActivity>(&DeviceActivity::key_of(user, device_id));
            change.devices.push(device_id.clone());
        }
        self.plan_devices_gone(plan, user, devices).await?;
        Ok(change)
    }
}

fn is_refresh(pair: Option<TokenPair>, hash: TokenHash) -> bool {
    pair.is_some_and(|pair| pair.refresh == Some(hash))
}

pub(super) fn delete_pair(plan: &mut Plan, pair: &TokenPair) {
    plan.delete::<AccessToken>(&AccessToken::key_of(pair.access));
    if let Some(refresh) = pair.refresh {
        plan.delete::<RefreshToken>(&RefreshToken::key_of(refresh));
    }
}
