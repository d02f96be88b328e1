//! Inviting, and the stripped state that tells the invited what they are invited to.

use matryx_entity::{
    client_event, key, room_no::RoomNo, room_snapshot::RoomSnapshot, timeline::TimelineEvent,
    user::User,
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, OwnedUserId, UserId,
    events::{AnyStrippedStateEvent, StateEventType, room::member::MembershipState},
    serde::Raw,
};

use super::{
    RoomError, Rooms,
    decision::Decision,
    member_content::{self, content, same_member},
};

/// The state that an invited or knocking user may see.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)
pub(super) const STRIPPED: [StateEventType; 8] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomMember,
];

impl Rooms {
    /// Invites a user.
    ///
    /// # Errors
    /// 403 by the auth rules, also for users who are in the room already and for those who want
    /// no invites; 404 for a local user who does not exist.
    pub async fn invite(
        &self,
        sender: OwnedUserId,
        room_id: OwnedRoomId,
        target: OwnedUserId,
        reason: Option<String>,
    ) -> Result<(), RoomError> {
        let room = self.room_no(&room_id).await?;
        let rooms = self.clone();
        self.to_the_end(async move {
            let mut content = content(&MembershipState::Invite, reason.as_deref());
            rooms.add_profile(&mut content, &target).await?;
            rooms.invite_now(room, &sender, &target, content).await
        })
        .await?;
        Ok(())
    }

    pub(super) async fn invite_now(
        &self,
        room: RoomNo,
        sender: &UserId,
        target: &UserId,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, RoomError> {
        if target.server_name() != self.server_name() {
            let invited = self.invite_elsewhere(room, sender, target, content);
            return Box::pin(invited).await;
        }
        self.check_invitee(target).await?;
        self.act(room, None, |snapshot| {
            if let Some(event_id) = may_invite(snapshot, sender, target, &content)? {
                return Ok(Decision::Done(event_id));
            }
            Ok(Decision::send(member_content::intent(
                sender,
                target,
                content.clone(),
            )))
        })
        .await
    }

    /// Can this user of this server be invited at all?
    pub(super) async fn check_invitee(&self, target: &UserId) -> Result<(), RoomError> {
        match self.store().get::<User>(&key![target.as_str()]).await? {
            None => Err(RoomError::UnknownUser(target.to_owned())),
            Some(user) if user.deactivated.is_some() => {
                Err(RoomError::DeactivatedUser(target.to_owned()))
            }
            Some(_) if self.sync().user(target).await?.blocks_invites => {
                Err(RoomError::InviteBlocked(target.to_owned()))
            }
            Some(_) => Ok(()),
        }
    }
}

/// Is there anything to do for an invite? The event that already says it, if there is one.
pub(super) fn may_invite(
    room: &RoomSnapshot,
    sender: &UserId,
    target: &UserId,
    content: &CanonicalJsonObject,
) -> Result<Option<OwnedEventId>, RoomError> {
    if !room.is_joined(sender) {
        return Err(RoomError::NotInRoom(room.room_id.clone()));
    }
    if room.is_joined(target) {
        return Err(RoomError::Forbidden(format!(
            "{target} is already in the room"
        )));
    }
    Ok(same_member(room, sender, target, content))
}

/// The stripped state for the target of a member event that was just applied to `snapshot`: the
/// JSON text of an array.
pub(super) fn stripped_state(snapshot: &RoomSnapshot, member: &TimelineEvent) -> String {
    let mut events: Vec<Raw<AnyStrippedStateEvent>> = Vec::with_capacity(STRIPPED.len() + 1);
    for kind in STRIPPED {
        let state_key = match kind {
            StateEventType::RoomMember => member.pdu.sender().as_str(),
            _ => "",
        };
        let event = snapshot
            .get(&kind, state_key)
            .filter(|event| event.pos != member.pos);
        events.extend(event.map(|event| client_event::to_stripped_raw(&event.pdu)));
    }
    events.push(client_event::to_stripped_raw(&member.pdu));
    let texts: Vec<&str> = events.iter().map(|event| event.json().get()).collect();
    format!("[{}]", texts.join(","))
}
