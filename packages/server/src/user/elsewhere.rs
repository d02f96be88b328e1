//! Profiles of users of other servers.

use std::{sync::Arc, time::Duration};

use matryx_client::{federation::FederationError, outbound::Limits};
use matryx_entity::profile::{AVATAR_URL, DISPLAY_NAME};
use ruma::{UserId, api::federation::query::get_profile_information, profile::ProfileFieldName};
use serde_json::{Map, Value};

use super::{UserError, Users, profile::NO_PROFILE};

/// The bounds of a profile.
const PROFILE: Limits = Limits {
    time: Duration::from_secs(10),
    body: 256 << 10,
};

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
}
