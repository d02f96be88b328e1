//! Joining and knocking.

use matryx_entity::{power, room_no::RoomNo, room_snapshot::RoomSnapshot, user::User};
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{
        StateEventType,
        room::{
            guest_access::{GuestAccess, RoomGuestAccessEventContent},
            join_rules::RoomJoinRulesEventContent,
            member::MembershipState,
        },
    },
    room::{AllowRule, JoinRule},
};

use super::{
    AliasTarget, RoomError, Rooms,
    decision::Decision,
    member_content::{self, content, same_member, set},
    resident::servers_in,
};

impl Rooms {
    /// Joins a room, through another server if nobody of this one is in it; joining a room twice is
    /// no error. Those who want into one room take turns: who comes second finds it here.
    ///
    /// # Errors
    /// 404 for a room that nobody knows; 403 by the join rules.
    pub async fn join(
        &self,
        user: OwnedUserId,
        target: AliasTarget,
        reason: Option<String>,
    ) -> Result<OwnedRoomId, RoomError> {
        let AliasTarget { room_id, servers } = target;
        let rooms = self.clone();
        self.to_the_end(async move {
            let mut content = content(&MembershipState::Join, reason.as_deref());
            rooms.add_profile(&mut content, &user).await?;
            if rooms.join_here(&user, &room_id, &content).await? {
                return Ok(room_id);
            }
            let _turn = rooms.inner.entrances.turn(&room_id).await;
            if rooms.join_here(&user, &room_id, &content).await? {
                return Ok(room_id);
            }
            let joined = rooms.join_for_long(user, &room_id, servers, content);
            joined.await.map(|()| room_id)
        })
        .await
    }

    /// Joins a room that this server is in. No, if the user can only get in through another.
    pub(super) async fn join_here(
        &self,
        user: &UserId,
        room_id: &RoomId,
        content: &CanonicalJsonObject,
    ) -> Result<bool, RoomError> {
        let room = match self.resident(room_id).await {
            Ok(room) => room,
            Err(RoomError::UnknownRoom(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        match self.join_now(room.no, user, content.clone()).await {
            Ok(_) => Ok(true),
            // Somebody of another server may be able to.
            Err(RoomError::UnableToGrantJoin) if servers_in(&room).len() > 1 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Knocks on a room, through another server if nobody of this one is in it.
    ///
    /// # Errors
    /// 404 for a room that nobody knows; 403 by the join rules.
    pub async fn knock(
        &self,
        user: OwnedUserId,
        target: AliasTarget,
        reason: Option<String>,
    ) -> Result<OwnedRoomId, RoomError> {
        let AliasTarget { room_id, servers } = target;
        let rooms = self.clone();
        self.to_the_end(async move {
            let mut content = content(&MembershipState::Knock, reason.as_deref());
            rooms.add_profile(&mut content, &user).await?;
            if let Ok(room) = rooms.resident(&room_id).await {
                rooms.put_member(room.no, &user, &user, content).await?;
            } else {
                let knocked = rooms.knock_elsewhere(user, &room_id, &servers, content);
                knocked.await?;
            }
            Ok(room_id)
        })
        .await
    }

    /// Sends the join of a user with this content; names the user who lets them into a restricted
    /// room.
    pub(super) async fn join_now(
        &self,
        room: RoomNo,
        user: &UserId,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, RoomError> {
        let memberships = self.sync().user(user).await?;
        self.check_guest(room, user).await?;
        self.act(room, None, |snapshot| {
            let mut content = content.clone();
            if snapshot.is_joined(user) {
                let unchanged = same_member(snapshot, user, user, &content);
                let only_joins = content.len() == 1;
                let now = snapshot.get(&StateEventType::RoomMember, user.as_str());
                if let Some(event_id) = unchanged.or_else(|| {
                    only_joins
                        .then(|| now.map(|event| event.pdu.event_id().to_owned()))
                        .flatten()
                }) {
                    return Ok(Decision::Done(event_id));
                }
            } else {
                let in_room =
                    |room_id: &RoomId| memberships.joined().any(|member| member.room_id == room_id);
                let authority = self.join_authority(snapshot, user, in_room)?;
                set(
                    &mut content,
                    "join_authorised_via_users_server",
                    authority.as_deref().map(UserId::as_str),
                );
            }
            Ok(Decision::send(member_content::intent(user, user, content)))
        })
        .await
    }

    /// A guest enters only where the room lets guests in.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#guest-access)
    async fn check_guest(&self, room: RoomNo, user: &UserId) -> Result<(), RoomError> {
        let room = self.sync().room(room).await?;
        let lets_guests_in = room.is_some_and(|room| {
            let access = room.get(&StateEventType::RoomGuestAccess, "");
            room.is_joined(user)
                || access
                    .and_then(|event| event.pdu.content_as::<RoomGuestAccessEventContent>())
                    .is_some_and(|content| content.guest_access == GuestAccess::CanJoin)
        });
        if lets_guests_in {
            return Ok(());
        }
        let account = self.store().get::<User>(&User::key_of(user)).await?;
        if account.is_some_and(|account| account.is_guest()) {
            return Err(RoomError::NoGuests);
        }
        Ok(())
    }

    /// The same for a user of another server, of whom is known which rooms of this one they are in.
    pub(super) async fn authority_for(
        &self,
        snapshot: &RoomSnapshot,
        user: &UserId,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        let mut rooms = Vec::new();
        for room_id in allowed_rooms(snapshot) {
            let room = self.sync().room_by_id(&room_id).await?;
            if room.is_some_and(|room| !room.local_joined.is_empty() && room.is_joined(user)) {
                rooms.push(room_id);
            }
        }
        self.join_authority(snapshot, user, |room_id| {
            rooms.iter().any(|room| room == room_id)
        })
    }

    /// Who of this server lets the user into a restricted room; none where nobody needs to.
    ///
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms)
    fn join_authority(
        &self,
        snapshot: &RoomSnapshot,
        user: &UserId,
        in_room: impl Fn(&RoomId) -> bool,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        if !power::knows_restricted_joins(&snapshot.version)
            || snapshot.membership(user) == MembershipState::Invite
        {
            return Ok(None);
        }
        let rule = snapshot
            .get(&StateEventType::RoomJoinRules, "")
            .and_then(|event| event.pdu.content_as::<RoomJoinRulesEventContent>())
            .map(|content| content.join_rule);
        let Some(JoinRule::Restricted(rule) | JoinRule::KnockRestricted(rule)) = rule else {
            return Ok(None);
        };
        let admitted = rule.allow.iter().any(|allow| match allow {
            AllowRule::RoomMembership(condition) => in_room(&condition.room_id),
            _ => false,
        });
        if !admitted {
            return Err(RoomError::Forbidden(
                "You are in none of the rooms whose members may join this one".to_owned(),
            ));
        }
        power::authorising_user(snapshot, self.server_name())
            .map(Some)
            .ok_or(RoomError::UnableToGrantJoin)
    }
}

/// The rooms whose members a restricted room lets in.
fn allowed_rooms(snapshot: &RoomSnapshot) -> Vec<OwnedRoomId> {
    let rule = snapshot
        .get(&StateEventType::RoomJoinRules, "")
        .and_then(|event| event.pdu.content_as::<RoomJoinRulesEventContent>())
        .map(|content| content.join_rule);
    let Some(JoinRule::Restricted(rule) | JoinRule::KnockRestricted(rule)) = rule else {
        return Vec::new();
    };
    let rooms = rule.allow.into_iter().filter_map(|allow| match allow {
        AllowRule::RoomMembership(condition) => Some(condition.room_id),
        _ => None,
    });
    rooms.collect()
}
