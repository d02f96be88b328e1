//! Profiles of local users.

use std::sync::Arc;

use matryx_entity::{
    chore::{Chore, Task},
    log::LogEntry,
    profile::{self, AVATAR_URL, DISPLAY_NAME, Profile, ProfileLimit},
};
use matryx_surrealdb::Plan;
use ruma::UserId;
use serde_json::{Map, Value};

use super::{UserError, Users, profile_cache::CachedProfile};
use crate::caller::Requester;

/// The longest display name, in characters, as Synapse.
const MAX_DISPLAY_NAME_CHARS: usize = 256;
/// The longest address of an avatar, in characters, as Synapse.
const MAX_AVATAR_URL_CHARS: usize = 1000;

pub(super) const NO_PROFILE: UserError = UserError::NotFound("There is no such profile");

impl Users {
    /// The fields of a profile: from the cache, or one query.
    ///
    /// # Errors
    /// This server has no such user, or the database is away.
    pub async fn profile(&self, user: &UserId) -> Result<Arc<Map<String, Value>>, UserError> {
        if !self.is_local(user) {
            return Err(NO_PROFILE);
        }
        if let Some(cached) = self.inner.profiles.get(user) {
            return Ok(cached.fields);
        }
        let epoch = self.inner.profiles.epoch();
        let profile = self
            .inner
            .store
            .get::<Profile>(&Profile::key_of(user))
            .await?;
        let profile = profile.ok_or(NO_PROFILE)?;
        let fields = Arc::new(profile.fields());
        let cached = CachedProfile {
            fields: Arc::clone(&fields),
            json_bytes: profile.fields.len(),
        };
        self.inner.profiles.insert(user, cached, epoch);
        Ok(fields)
    }

    /// One field of a profile, from the same place. None where a display name or an avatar is not set.
    ///
    /// # Errors
    /// This server has no such user, the field is not set, or the database is away.
    pub async fn profile_field(
        &self,
        user: &UserId,
        name: &str,
    ) -> Result<Option<Value>, UserError> {
        match self.profile(user).await?.get(name) {
            Some(value) => Ok(Some(value.clone())),
            None if is_shown_in_rooms(name) => Ok(None),
            None => Err(UserError::NotFound("The profile has no such field")),
        }
    }

    /// Sets a field of the caller's profile, or removes it when there is no value. What rooms show
    /// of it follows after the answer.
    ///
    /// # Errors
    /// The profile is not the caller's, the field is not acceptable, or the database is away.
    pub async fn set_profile_field(
        &self,
        requester: &Requester,
        user: &UserId,
        name: &str,
        value: Option<Value>,
    ) -> Result<(), UserError> {
        if requester.user_id != user {
            return Err(UserError::Forbidden(
                "You cannot change another user's profile",
            ));
        }
        self.write_profile_field(user, name, value).await
    }

    async fn write_profile_field(
        &self,
        user: &UserId,
        name: &str,
        value: Option<Value>,
    ) -> Result<(), UserError> {
        check_name(name)?;
        let value = match value {
            Some(value) if is_shown_in_rooms(name) => shown_value(name, value)?,
            value => value,
        };
        let _guard = self.lock(user).await;
        let store = &self.inner.store;
        let stored = store.get::<Profile>(&Profile::key_of(user)).await?;
        let mut fields = stored.map(|stored| stored.fields()).unwrap_or_default();
        if fields.get(name) == value.as_ref() {
            return Ok(());
        }
        match value {
            Some(value) => profile::set_field(&mut fields, name, value)?,
            None => {
                fields.remove(name);
            }
        }
        let mut plan = Plan::new();
        plan.put(&Profile::new(user.to_owned(), &fields));
        plan.log(LogEntry::User {
            user: user.to_owned(),
        });
        let chore = is_shown_in_rooms(name).then(|| Chore {
            user: user.to_owned(),
            task: Task::CarryProfile,
        });
        if let Some(chore) = &chore {
            plan.put(chore);
        }
        store.commit(plan).await?;
        if let Some(chore) = chore {
            self.queue_chore(chore);
        }
        Ok(())
    }
}

fn is_shown_in_rooms(name: &str) -> bool {
    name == DISPLAY_NAME || name == AVATAR_URL
}

/// A name is one of the two old ones or a common namespaced identifier.
/// [Spec](https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar)
fn check_name(name: &str) -> Result<(), UserError> {
    if name.len() > Profile::MAX_KEY_BYTES {
        return Err(ProfileLimit::Key.into());
    }
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = bytes
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    if first && rest {
        Ok(())
    } else {
        Err(UserError::InvalidParam(
            "This is not a name of a profile field",
        ))
    }
}

/// A display name or an avatar: a text of bounded length; an empty one or none removes it.
fn shown_value(name: &str, value: Value) -> Result<Option<Value>, UserError> {
    let longest = if name == DISPLAY_NAME {
        MAX_DISPLAY_NAME_CHARS
    } else {
        MAX_AVATAR_URL_CHARS
    };
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if text.chars().count() > longest => {
            Err(UserError::InvalidParam("The value is too long"))
        }
        Value::String(text) => Ok(Some(Value::String(text))),
        _ => Err(UserError::InvalidParam("The value must be a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_namespaced_names_only() {
        for good in ["displayname", "m.tz", "org.example.a_b-c", "a"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Org.example", "1a", "a b", "ä", "a/b"] {
            assert!(
                matches!(check_name(bad), Err(UserError::InvalidParam(_))),
                "{bad}"
            );
        }
        let long = "a".repeat(256);
        assert!(matches!(
            check_name(&long),
            Err(UserError::Profile(ProfileLimit::Key))
        ));
    }

    #[test]
    fn bounds_what_rooms_show() {
        let text = |length| Value::String("ä".repeat(length));
        assert!(shown_value(DISPLAY_NAME, text(256)).is_ok());
        assert!(shown_value(DISPLAY_NAME, text(257)).is_err());
        assert!(shown_value(AVATAR_URL, text(1000)).is_ok());
        assert!(shown_value(AVATAR_URL, Value::Bool(true)).is_err());
        assert!(matches!(shown_value(AVATAR_URL, text(0)), Ok(None)));
    }
}
