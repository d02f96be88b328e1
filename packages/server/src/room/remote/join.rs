//! Joining a room through a server that is in it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use matryx_client::outbound::Limits;
use matryx_entity::{pdu::Pdu, room_versions, user::User};
use parking_lot::Mutex as SyncMutex;
use ruma::{
    CanonicalJsonObject, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, RoomVersionId,
    ServerName, UserId,
    api::federation::membership::{create_join_event, prepare_join_event},
    events::room::member::MembershipState,
};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    ask::{Attempts, SHORT},
    template::Wish,
};
use crate::room::{NotJudged, RoomError, Rooms};

/// The bounds of the answer to a join: the state of a room of tens of thousands.
const STATE: Limits = Limits {
    time: Duration::from_mins(5),
    body: 256 << 20,
};

/// Those who want into a room that this server is not in yet, one after the other.
#[derive(Debug, Default)]
pub(in crate::room) struct Entrances(SyncMutex<HashMap<OwnedRoomId, Weak<Mutex<()>>>>);

impl Entrances {
    /// Waits until nobody else is on their way into this room.
    pub(in crate::room) async fn turn(&self, room_id: &RoomId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut open = self.0.lock();
            open.retain(|_, lock| lock.strong_count() > 0);
            let lock = open.get(room_id).and_then(Weak::upgrade);
            lock.unwrap_or_else(|| {
                let lock = Arc::new(Mutex::default());
                open.insert(room_id.to_owned(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

impl Rooms {
    /// Joins a room through one of these servers: one that this server is not in, or one in which
    /// nobody of this server may let the user in.
    ///
    /// # Errors
    /// What the servers answer; 403 for guests.
    pub(super) async fn join_elsewhere(
        &self,
        user: OwnedUserId,
        room_id: &RoomId,
        via: &[OwnedServerName],
        content: CanonicalJsonObject,
    ) -> Result<(), RoomError> {
        let account = self.store().get::<User>(&User::key_of(&user)).await?;
        if account.is_some_and(|account| account.is_guest()) {
            return Err(RoomError::NoGuests);
        }
        let invite = self.invited_by(&user, room_id).await?;
        let room = self.sync().room_by_id(room_id).await?;
        let servers = self.candidates(room_id, via, invite.as_deref(), room.as_deref());
        let wish = Wish {
            room_id,
            user: &user,
            membership: &MembershipState::Join,
            content: &content,
        };
        let mut attempts = Attempts::at(room_id);
        for server in &servers {
            let attempt = self.join_through(server, wish).await;
            if let Some(end) = attempts.note(server, attempt) {
                return end;
            }
        }
        attempts.end()
    }

    /// Who invited the user, as far as that is known.
    pub(super) async fn invited_by(
        &self,
        user: &UserId,
        room_id: &RoomId,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        let Some(room) = self.sync().room_no(room_id).await? else {
            return Ok(None);
        };
        let record = self.membership_record(room, user).await?;
        Ok(record
            .filter(|member| member.membership == MembershipState::Invite)
            .map(|member| member.sender))
    }

    async fn join_through(&self, server: &ServerName, wish: Wish<'_>) -> Result<(), RoomError> {
        let mut request =
            prepare_join_event::v1::Request::new(wish.room_id.to_owned(), wish.user.to_owned());
        request.ver = room_versions::SUPPORTED.to_vec();
        let federation = &self.inner.deps.federation;
        let template = federation.send_with(server, request, SHORT).await?;
        let version = template.room_version.unwrap_or(RoomVersionId::V1);
        let pdu = self.fill_in(server, version.clone(), &template.event, wish)?;

        let mut request = create_join_event::v2::Request::new(
            wish.room_id.to_owned(),
            pdu.event_id().to_owned(),
            raw(&pdu)?,
        );
        request.omit_members = false;
        // As much memory as the answer takes is kept from others until the room is entered.
        let (answer, _claim) = federation.send_large(server, request, STATE).await?;
        let mut answer = answer.room_state;
        if answer.members_omitted {
            return Err(RoomError::BadAnswer {
                server: server.to_owned(),
                reason: "members were left out, which nobody asked for".to_owned(),
            });
        }
        let event_id = pdu.event_id().to_owned();
        let told = answer.event.take();
        let join = self
            .read_told_join(server, &version, (&event_id, wish.user), told, pdu.json())
            .await?;
        if let Ok(room) = self.resident(wish.room_id).await {
            // The room is here; only the right to let the user in was not.
            return match self.receive(room.no, join, None).await {
                Err(NotJudged::Room(error)) => Err(error),
                // What can't be judged comes from the servers of the room, with what it stands on.
                Ok(_) | Err(_) => Ok(()),
            };
        }
        let told = self
            .read_told_room(server, (wish.room_id, &version), answer)
            .await?;
        self.enter(server, (wish.room_id, &version), join, told)
            .await
    }
}

/// The text of an event as it goes out, byte for byte.
pub(in crate::room) fn raw(pdu: &Pdu) -> Result<Box<RawValue>, RoomError> {
    RawValue::from_string(pdu.json().to_string())
        .map_err(|_not_json| RoomError::Damaged("an event is no JSON"))
}
