//! Memberships of rooms that this server is not in: an invite, a knock, and the end of either.

use std::sync::Arc;

use matryx_client::sync::Attachment;
use matryx_entity::{
    key,
    log::LogEntry,
    member::Member,
    position::Position,
    room::{Room, RoomPointer},
    room_no::RoomNo,
    stretch::FIRST_POS,
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
    events::room::member::MembershipState,
};

use crate::room::{RoomError, Rooms};

/// A membership of one of our users, told from outside.
#[derive(Debug)]
pub(super) struct Outsider {
    pub(super) user: OwnedUserId,
    pub(super) membership: MembershipState,
    /// The event that says so.
    pub(super) event_id: OwnedEventId,
    pub(super) sender: OwnedUserId,
    /// What the user may know of the room: the JSON text of an array.
    pub(super) stripped_state: Option<String>,
}

impl Rooms {
    /// The number of a room, which it gets now if nobody of this server heard of it before.
    ///
    /// # Errors
    /// [`RoomError::InvalidParam`] for a room that is known to have another version.
    pub(super) async fn known_room(
        &self,
        room_id: &RoomId,
        version: &RoomVersionId,
    ) -> Result<RoomNo, RoomError> {
        for _ in 0..2 {
            if let Some(room) = self.store().room_by_id(room_id).await? {
                if room.version != *version {
                    return Err(RoomError::InvalidParam(format!(
                        "{room_id} is of version {}",
                        room.version
                    )));
                }
                return Ok(room.no);
            }
            let no = self.store().next_room_no()?;
            let mut plan = Plan::new();
            plan.create(&Room {
                no,
                room_id: room_id.to_owned(),
                version: version.clone(),
                entered: FIRST_POS,
            });
            plan.create(&RoomPointer {
                room_id: room_id.to_owned(),
                no,
            });
            match self.store().commit(plan).await {
                Ok(_) => return Ok(no),
                // Somebody else was told of it at the same moment.
                Err(StoreError::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RoomError::Busy)
    }

    /// What is on record of a user's membership. One query.
    pub(in crate::room) async fn membership_record(
        &self,
        room: RoomNo,
        user: &UserId,
    ) -> Result<Option<Member>, RoomError> {
        Ok(self
            .store()
            .get::<Member>(&key![user.as_str(), room])
            .await?)
    }

    /// Writes a membership of a room that this server is not in, unless `unless` holds for what is
    /// on record. The room's turn is held meanwhile: a join writes the same record.
    pub(super) async fn write_outsider(
        &self,
        (room, room_id): (RoomNo, OwnedRoomId),
        outsider: Outsider,
        unless: impl Fn(Option<&Member>) -> bool,
    ) -> Result<(), RoomError> {
        let _turn = self.turn(room).await?;
        let before = self.membership_record(room, &outsider.user).await?;
        if unless(before.as_ref()) {
            return Ok(());
        }
        let mut spans = before.map(|member| member.spans).unwrap_or_default();
        // What was before the present place of the room's history stays before it.
        let place = spans.last().map_or(0, |(place, _)| *place);
        spans.push((place, outsider.membership.clone()));
        if spans.len() > Member::MAX_SPANS {
            spans.remove(0);
        }
        let member = Member {
            user: outsider.user,
            room,
            room_id,
            membership: outsider.membership,
            event_id: outsider.event_id,
            sender: outsider.sender,
            pos: 0,
            at: Position::default(),
            since: Position::default(),
            spans,
            forgotten: false,
            stripped_state: outsider.stripped_state,
        };
        let mut plan = Plan::new();
        let entry = LogEntry::Member {
            user: member.user.clone(),
            room,
        };
        let attachment = Attachment::Member(Arc::new(member.clone()));
        let at = plan.log_with(entry, Arc::new(attachment));
        plan.put_stamped(&member, at);
        self.store().commit(plan).await?;
        Ok(())
    }
}
