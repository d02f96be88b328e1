//! A local user's profile.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The name of the field that holds the display name.
pub const DISPLAY_NAME: &str = "displayname";
/// The name of the field that holds the avatar.
pub const AVATAR_URL: &str = "avatar_url";

/// A profile: any number of named fields, bounded in all by [`Profile::MAX_BYTES`]. Emptied when
/// the account is closed.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#profiles)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Whose.
    pub user: OwnedUserId,
    /// The fields: the JSON text of an object.
    pub fields: String,
}

/// Why a profile field cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileLimit {
    /// The profile would be larger than [`Profile::MAX_BYTES`].
    #[error("the profile would be larger than {} bytes", Profile::MAX_BYTES)]
    Profile,
    /// The field's name is longer than [`Profile::MAX_KEY_BYTES`].
    #[error(
        "the name of the field is longer than {} bytes",
        Profile::MAX_KEY_BYTES
    )]
    Key,
}

impl Profile {
    /// The largest profile as JSON, in bytes, from the specification.
    pub const MAX_BYTES: usize = 65_536;
    /// The longest name of a field, in bytes, from the specification.
    pub const MAX_KEY_BYTES: usize = 255;

    /// A profile with these fields.
    pub fn new(user: OwnedUserId, fields: &Map<String, Value>) -> Self {
        let fields = Value::Object(fields.clone()).to_string();
        Self { user, fields }
    }

    /// The key of a profile.
    pub fn key_of(user: &UserId) -> Key {
        key![user.as_str()]
    }

    /// The fields. A record that is not JSON reads as an empty profile.
    pub fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(&self.fields).unwrap_or_default()
    }
}

/// Sets a field of a profile.
///
/// # Errors
/// The name or the profile would be too large.
pub fn set_field(
    fields: &mut Map<String, Value>,
    name: &str,
    value: Value,
) -> Result<(), ProfileLimit> {
    if name.len() > Profile::MAX_KEY_BYTES {
        return Err(ProfileLimit::Key);
    }
    fields.insert(name.to_owned(), value);
    if Value::Object(fields.clone()).to_string().len() > Profile::MAX_BYTES {
        return Err(ProfileLimit::Profile);
    }
    Ok(())
}

impl Stored for Profile {
    const TABLE: &'static str = "profile";
    fn key(&self) -> Key {
        Self::key_of(&self.user)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::{ProfileLimit, set_field};

    #[test]
    fn bounds_the_profile_and_the_names_of_its_fields() {
        let mut fields = Map::new();
        // {"k":"…"} takes eight bytes beside the value.
        let fits = Value::String("x".repeat(65_536 - 8));
        assert_eq!(set_field(&mut fields, "k", fits), Ok(()));
        let larger = Value::String("x".repeat(65_536 - 7));
        assert_eq!(
            set_field(&mut fields, "k", larger),
            Err(ProfileLimit::Profile)
        );
        let mut fields = Map::new();
        assert_eq!(
            set_field(&mut fields, &"k".repeat(255), Value::Null),
            Ok(())
        );
        assert_eq!(
            set_field(&mut fields, &"k".repeat(256), Value::Null),
            Err(ProfileLimit::Key)
        );
    }
}
