//! Profiles of users of other servers, and what other servers may know of ours.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use matryx_client::{federation::FederationError, outbound::Limits};
use matryx_entity::{
    device::Device,
    profile::{AVATAR_URL, DISPLAY_NAME},
    stored::Key,
    user::User,
};
use ruma::{
    OwnedUserId, UserId, api::federation::query::get_profile_information, profile::ProfileFieldName,
};
use serde_json::{Map, Value};

use super::{UserError, Users, profile::NO_PROFILE};

/// The bounds of a profile.
const PROFILE: Limits = Limits {
    time: Duration::from_secs(10),
    body: 256 << 10,
};

/// How many accounts one query reads.
const BATCH: usize = 500;

impl Users {
    /// The fields of the profile of a user of any server.
    ///
    /// # Errors
    /// There is no such user, their server can't be asked, or the database is away.
    pub async fn any_profile(&self, user: &UserId) -> Result<Arc<Map<String, Value>>, UserError> {
        if self.is_local(user) {
            return self.profile(user).await;
        }
        Ok(Arc::new(self.ask_for_profile(user, None).await?))
    }

    /// One field of it. None where a display name or an avatar is not set.
    ///
    /// # Errors
    /// As [`Users::any_profile`], and when the field is not set.
    pub async fn any_profile_field(
        &self,
        user: &UserId,
        name: &str,
    ) -> Result<Option<Value>, UserError> {
        if self.is_local(user) {
            return self.profile_field(user, name).await;
        }
        let field = ProfileFieldName::from(name);
        let mut fields = self.ask_for_profile(user, Some(field)).await?;
        match fields.remove(name) {
            Some(value) => Ok(Some(value)),
            None if name == DISPLAY_NAME || name == AVATAR_URL => Ok(None),
            None => Err(UserError::NotFound("The profile has no such field")),
        }
    }

    async fn ask_for_profile(
        &self,
        user: &UserId,
        field: Option<ProfileFieldName>,
    ) -> Result<Map<String, Value>, UserError> {
        let mut request = get_profile_information::v1::Request::new(user.to_owned());
        request.field = field;
        let federation = &self.inner.federation;
        let answer = federation.send_with(user.server_name(), request, PROFILE);
        let answer = answer.await.map_err(|error| match &error {
            FederationError::Remote { source, .. } if source.status_code.as_u16() == 404 => {
                NO_PROFILE
            }
            FederationError::Remote { source, .. } if source.status_code.as_u16() == 403 => {
                UserError::Forbidden("Their server does not show you this profile")
            }
            _ => UserError::Elsewhere(Box::new(error)),
        })?;
        let is_sound = |(name, value): &(String, Value)| {
            (name != DISPLAY_NAME && name != AVATAR_URL) || value.is_string()
        };
        Ok(answer.into_iter().filter(is_sound).collect())
    }

    /// The devices of a user of this server, for other servers. Two queries.
    ///
    /// # Errors
    /// This server has no such user, or the database is away.
    pub async fn devices_for_servers(&self, user: &UserId) -> Result<Vec<Device>, UserError> {
        let account = if self.is_local(user) {
            self.lookup(user).await?
        } else {
            None
        };
        if account.is_none_or(|account| account.deactivated.is_some()) {
            return Err(UserError::NotFound("There is no such user"));
        }
        self.list_stored_devices(user).await
    }

    /// Which of these users have an account here that is open. One query for each 500.
    ///
    /// # Errors
    /// One of them is of another server, or the database is away.
    pub async fn open_accounts(
        &self,
        users: impl Iterator<Item = &OwnedUserId>,
    ) -> Result<BTreeSet<OwnedUserId>, UserError> {
        let users: Vec<&OwnedUserId> = users.collect();
        if users.iter().any(|user| !self.is_local(user)) {
            return Err(UserError::InvalidParam("A user is of another server"));
        }
        let mut accounts = BTreeSet::new();
        for users in users.chunks(BATCH) {
            let keys: Vec<Key> = users.iter().map(|user| User::key_of(user)).collect();
            for account in self.inner.store.get_many::<User>(&keys).await? {
                if let Some(account) = account.filter(|account| account.deactivated.is_none()) {
                    accounts.insert(account.user_id.clone());
                }
            }
        }
        Ok(accounts)
    }
}
