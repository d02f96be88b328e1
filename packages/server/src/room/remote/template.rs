//! What another server says that a membership event of ours is to look like.

use matryx_entity::{
    build::{self, EventTemplate, ToldPlace},
    pdu::Pdu,
    power, room_versions,
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, ServerName,
    UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::room::{RoomError, Rooms, member_content::set};

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    content: Content,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: u64,
}

#[derive(Deserialize)]
struct Content {
    membership: MembershipState,
    join_authorised_via_users_server: Option<OwnedUserId>,
}

/// The membership that one of our users wants in a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) room_id: &'a RoomId,
    pub(super) user: &'a UserId,
    pub(super) membership: &'a MembershipState,
    /// What the event says, by us.
    pub(super) content: &'a CanonicalJsonObject,
}

impl Rooms {
    /// The signed event that fulfils a wish, where a server says it goes. Of the server's words are
    /// taken the place, and who lets the user into a restricted room; nothing else is signed.
    ///
    /// # Errors
    /// [`RoomError::BadAnswer`] for a template of any other event.
    pub(super) fn fill_in(
        &self,
        server: &ServerName,
        version: RoomVersionId,
        template: &RawValue,
        wish: Wish<'_>,
    ) -> Result<Pdu, RoomError> {
        let bad = |reason: String| RoomError::BadAnswer {
            server: server.to_owned(),
            reason,
        };
        room_versions::rules(&version)?;
        let told: Told =
            serde_json::from_str(template.get()).map_err(|error| bad(error.to_string()))?;
        let fits = told.kind == TimelineEventType::RoomMember
            && told.room_id == wish.room_id
            && told.sender == wish.user
            && told.state_key == wish.user
            && told.content.membership == *wish.membership;
        let place = ToldPlace {
            room_id: told.room_id,
            version,
            prev_events: told.prev_events,
            auth_events: told.auth_events,
            depth: told.depth,
        };
        if !fits || !place.is_possible() {
            return Err(bad(
                "the template is not of the event that we asked for".to_owned()
            ));
        }
        let mut content = wish.content.clone();
        if *wish.membership == MembershipState::Join
            && power::knows_restricted_joins(&place.version)
        {
            let authority = told.content.join_authorised_via_users_server;
            let authority = authority.as_deref().map(UserId::as_str);
            set(&mut content, "join_authorised_via_users_server", authority);
        }
        let template =
            EventTemplate::state(TimelineEventType::RoomMember, wish.user.as_str(), content);
        let deps = &self.inner.deps;
        let pdu =
            build::build_elsewhere(template, place, wish.user, deps.clock.now(), &deps.signer)?;
        Ok(pdu)
    }
}
