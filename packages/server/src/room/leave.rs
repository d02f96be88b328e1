//! Leaving, and forgetting what was left.

use matryx_client::sync::Attachment;
use matryx_entity::{key, log::LogEntry, member::Member, room_no::RoomNo};
use matryx_surrealdb::Plan;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use std::sync::Arc;

use super::{
    RoomError, Rooms,
    decision::Decision,
    member_content::{self, content},
};

impl Rooms {
    /// Leaves a room, rejects an invite or takes back a knock. Leaving a room that one has left
    /// is no error.
    ///
    /// # Errors
    /// 403 for a user who was never in the room, or is banned from it.
    pub async fn leave(
        &self,
        user: OwnedUserId,
        room_id: OwnedRoomId,
        reason: Option<String>,
    ) -> Result<(), RoomError> {
        let room = self.room_no(&room_id).await?;
        let rooms = self.clone();
        self.to_the_end(async move {
            let content = content(&MembershipState::Leave, reason.as_deref());
            if let Some(now) = rooms.outside(room, &room_id, &user).await? {
                return match now.membership {
                    MembershipState::Invite | MembershipState::Knock => {
                        rooms.leave_elsewhere(user, &room_id, now, content).await
                    }
                    MembershipState::Leave => Ok(()),
                    _ => Err(RoomError::NotInRoom(room_id)),
                };
            }
            rooms
                .act(room, None, |snapshot| {
                    let now = snapshot
                        .get(&ruma::events::StateEventType::RoomMember, user.as_str())
                        .ok_or_else(|| RoomError::NotInRoom(room_id.clone()))?;
                    if snapshot.membership(&user) == MembershipState::Leave {
                        return Ok(Decision::Done(now.pdu.event_id().to_owned()));
                    }
                    Ok(Decision::send(member_content::intent(
                        &user,
                        &user,
                        content.clone(),
                    )))
                })
                .await?;
            Ok(())
        })
        .await
    }

    /// The membership of a user in a room that this server is not in.
    async fn outside(
        &self,
        room: RoomNo,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<Option<Member>, RoomError> {
        if self.resident(room_id).await.is_ok() {
            return Ok(None);
        }
        self.membership_record(room, user).await
    }

    /// Forgets a room that the user has left: it is gone from every list and its history with it.
    ///
    /// # Errors
    /// 400 while the user is in the room; 404 for a room that the user never was in.
    pub async fn forget(&self, user: &UserId, room_id: &RoomId) -> Result<(), RoomError> {
        let room = self.room_no(room_id).await?;
        let (rooms, user, room_id) = (self.clone(), user.to_owned(), room_id.to_owned());
        self.to_the_end(async move { rooms.forget_now(&user, &room_id, room).await })
            .await
    }

    /// The room's turn is held until the record is written: an invite or a join that comes
    /// meanwhile writes the same record.
    async fn forget_now(
        &self,
        user: &UserId,
        room_id: &RoomId,
        room: RoomNo,
    ) -> Result<(), RoomError> {
        let _turn = self.turn(room).await?;
        let member = self
            .store()
            .get::<Member>(&key![user.as_str(), room])
            .await?
            .ok_or_else(|| RoomError::UnknownRoom(room_id.to_owned()))?;
        match member.membership {
            MembershipState::Leave | MembershipState::Ban => {}
            _ => return Err(RoomError::StillInRoom),
        }
        if member.forgotten {
            return Ok(());
        }
        let member = Member {
            forgotten: true,
            ..member
        };
        let mut plan = Plan::new();
        let at = plan.log_with(
            LogEntry::Member {
                user: user.to_owned(),
                room,
            },
            Arc::new(Attachment::Member(Arc::new(member.clone()))),
        );
        plan.put_stamped(&member, at);
        self.store().commit(plan).await?;
        Ok(())
    }
}
