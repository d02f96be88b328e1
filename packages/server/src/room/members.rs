//! Reading a room's members.

use std::collections::BTreeMap;

use matryx_entity::{room_snapshot::membership_of, token::PageToken};
use ruma::{
    OwnedMxcUri, OwnedUserId, RoomId, UserId,
    events::{
        StateEventType,
        room::member::{MembershipState, RoomMemberEvent},
    },
    serde::Raw,
};
use serde::Deserialize;

use super::{RoomError, Rooms, state_at::Slots, view::Moment};
use crate::caller::Requester;

/// Which members of a room are wanted.
#[derive(Clone, Debug, Default)]
pub struct MembersRequest<'a> {
    /// The moment, as a token of `/sync` or `/messages`; now if absent.
    pub at: Option<&'a str>,
    /// Only those of this membership.
    pub membership: Option<MembershipState>,
    /// None of this membership.
    pub not_membership: Option<MembershipState>,
}

/// The profile that a joined member shows in the room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomProfile {
    /// `displayname`.
    pub display_name: Option<String>,
    /// `avatar_url`.
    pub avatar_url: Option<OwnedMxcUri>,
}

impl Rooms {
    /// The member events of a room.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers)
    ///
    /// # Errors
    /// 403 for somebody who is not and never was in the room (unless it is world-readable), and
    /// for a moment that the caller may not see; 400 for a token that is none.
    pub async fn members(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        request: MembersRequest<'_>,
    ) -> Result<Vec<Raw<RoomMemberEvent>>, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        let latest = view.moment()?;
        let moment = match request.at {
            None => latest,
            Some(token) => self.moment_of(&view.room, token, latest).await?,
        };
        if let Moment::After(pos) = moment
            && moment != latest
        {
            let shown = self.event_at(&view.room, pos).await?;
            if !shown.is_some_and(|event| view.viewer().sees(&event)) {
                return Err(RoomError::Forbidden(format!(
                    "You may not see the room at {}",
                    PageToken::Gap(pos)
                )));
            }
        }
        let slots = Slots::Kind(&StateEventType::RoomMember);
        let mut members = self.state_at(&view.room, moment, slots).await?;
        if request.membership.is_some() || request.not_membership.is_some() {
            members.retain(|event| {
                let membership = membership_of(event);
                request
                    .membership
                    .as_ref()
                    .is_none_or(|wanted| *wanted == membership)
                    && request.not_membership.as_ref() != Some(&membership)
            });
        }
        Ok(self.render_state(&members))
    }

    /// The joined members of a room and their profiles in it.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members)
    ///
    /// # Errors
    /// 403 for somebody who is not in the room now.
    pub async fn joined_members(
        &self,
        reader: &Requester,
        room_id: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, RoomProfile>, RoomError> {
        let view = self.joined_view(room_id, &reader.user_id).await?;
        let members = view.room.slots(&StateEventType::RoomMember);
        Ok(members
            .filter(|(_, event)| membership_of(event) == MembershipState::Join)
            .filter_map(|(user, event)| {
                let user = <&UserId>::try_from(user).ok()?;
                Some((user.to_owned(), profile(event.pdu.content().get())))
            })
            .collect())
    }
}

/// What a member event says about its user; anything malformed counts as not there.
fn profile(content: &str) -> RoomProfile {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Content {
        displayname: serde_json::Value,
        avatar_url: serde_json::Value,
    }
    let content: Content = serde_json::from_str(content).unwrap_or_default();
    RoomProfile {
        display_name: content.displayname.as_str().map(str::to_owned),
        avatar_url: content
            .avatar_url
            .as_str()
            .filter(|url| !url.is_empty())
            .map(OwnedMxcUri::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_profile_shows_nothing() {
        let shown = profile(r#"{"membership":"join","displayname":5,"avatar_url":""}"#);
        assert_eq!(shown, RoomProfile::default());
    }

    #[test]
    fn a_profile_shows_name_and_avatar() {
        let shown = profile(r#"{"displayname":"A","avatar_url":"mxc://x/y"}"#);
        assert_eq!(shown.display_name.as_deref(), Some("A"));
        assert_eq!(shown.avatar_url, Some("mxc://x/y".into()));
    }
}
