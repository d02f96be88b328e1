//! Tags of rooms: the account data of the type `m.tag`, edited one tag at a time.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#room-tagging)

use ruma::{
    RoomId, UserId,
    events::tag::{TagEventContent, TagInfo, TagName, Tags},
};

use super::{DataScope, UserError, Users};
use crate::caller::Requester;

const TAG: &str = "m.tag";
/// The longest name of a tag, in bytes, from the specification.
const MAX_TAG_BYTES: usize = 255;
/// The most tags of one room.
const MAX_TAGS: usize = 100;

impl Users {
    /// A user's tags of a room; read from the cache.
    ///
    /// # Errors
    /// They are another user's, or the database is away.
    pub async fn tags(
        &self,
        requester: &Requester,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Tags, UserError> {
        Self::check_owner(requester, user)?;
        self.current_tags(user, room).await
    }

    /// Sets a tag, or removes it when there is no value.
    ///
    /// # Errors
    /// It is another user's, the name is too long, there are too many tags, or the database is
    /// away.
    pub async fn set_tag(
        &self,
        requester: &Requester,
        user: &UserId,
        room: &RoomId,
        tag: &str,
        info: Option<TagInfo>,
    ) -> Result<(), UserError> {
        Self::check_owner(requester, user)?;
        if tag.is_empty() || tag.len() > MAX_TAG_BYTES {
            return Err(UserError::InvalidParam(
                "The name of the tag is empty or too long",
            ));
        }
        let _guard = self.lock(user).await;
        let mut tags = self.current_tags(user, room).await?;
        let name = TagName::from(tag);
        match info {
            Some(info) => {
                tags.insert(name, info);
            }
            None if tags.remove(&name).is_none() => return Ok(()),
            None => {}
        }
        if tags.len() > MAX_TAGS {
            return Err(UserError::InvalidParam("The room has too many tags"));
        }
        let content = serde_json::to_string(&TagEventContent::new(tags))?;
        let scope = DataScope {
            user,
            room: Some(room),
        };
        self.write_account_data(scope, TAG, content).await
    }

    async fn current_tags(&self, user: &UserId, room: &RoomId) -> Result<Tags, UserError> {
        let view = self.inner.sync.user(user).await?;
        let data = view.account_data(Some(room), TAG);
        // A client may have put something else there by the account data endpoint.
        let content =
            data.and_then(|data| serde_json::from_str::<TagEventContent>(&data.content).ok());
        Ok(content.map(|content| content.tags).unwrap_or_default())
    }
}
