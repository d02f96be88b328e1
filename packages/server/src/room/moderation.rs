//! Kick, ban, unban: one member event each, sent for somebody else.

use matryx_entity::room_snapshot::RoomSnapshot;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use super::{
    RoomError, Rooms,
    decision::Decision,
    member_content::{self, content, same_member},
};

/// What one user does to another's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanction {
    /// Removes a member, or takes back an invite.
    Kick,
    /// Removes a user for good.
    Ban,
    /// Takes a ban back.
    Unban,
}

impl Sanction {
    fn membership(self) -> MembershipState {
        match self {
            Self::Kick | Self::Unban => MembershipState::Leave,
            Self::Ban => MembershipState::Ban,
        }
    }

    /// Is there something to take from the user?
    fn applies(self, snapshot: &RoomSnapshot, target: &OwnedUserId) -> Result<(), RoomError> {
        let now = snapshot.membership(target);
        match self {
            Self::Kick => match now {
                MembershipState::Join | MembershipState::Invite | MembershipState::Knock => Ok(()),
                _ => Err(RoomError::Forbidden(format!("{target} is not in the room"))),
            },
            Self::Unban if now != MembershipState::Ban => {
                Err(RoomError::Forbidden(format!("{target} is not banned")))
            }
            Self::Ban | Self::Unban => Ok(()),
        }
    }
}

impl Rooms {
    /// Kicks, bans or unbans a user.
    ///
    /// # Errors
    /// 403 by the auth rules, and for a user whom it would not change.
    pub async fn sanction(
        &self,
        sanction: Sanction,
        sender: OwnedUserId,
        room_id: OwnedRoomId,
        target: OwnedUserId,
        reason: Option<String>,
    ) -> Result<(), RoomError> {
        let room = self.room_no(&room_id).await?;
        let rooms = self.clone();
        self.to_the_end(async move {
            let content = content(&sanction.membership(), reason.as_deref());
            rooms
                .act(room, None, |snapshot| {
                    if !snapshot.is_joined(&sender) {
                        return Err(RoomError::NotInRoom(room_id.clone()));
                    }
                    sanction.applies(snapshot, &target)?;
                    if let Some(event_id) = same_member(snapshot, &sender, &target, &content) {
                        return Ok(Decision::Done(event_id));
                    }
                    Ok(Decision::send(member_content::intent(
                        &sender,
                        &target,
                        content.clone(),
                    )))
                })
                .await
        })
        .await?;
        Ok(())
    }
}
