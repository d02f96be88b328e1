//! Which users of other servers share a room with this one.
//!
//! Rooms know who is in them; nothing knows the rooms of another server's user. So a room, once
//! found, is remembered, and looked at first the next time.

use std::sync::Arc;

use matryx_client::sync::{SyncEngine, SyncError};
use matryx_entity::{
    event::EventRow,
    key,
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, membership_of},
    state::StateRow,
    stored::Key,
    timeline::TimelineEvent,
};
use matryx_surrealdb::Store;
use quick_cache::sync::Cache;
use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::RemoteError;

/// The most users whose rooms are remembered.
const MAX_REMEMBERED: usize = 50_000;

/// How many rooms are looked at with one query.
const BATCH: usize = 500;

/// How many earlier member events are looked at, and how many users of this server, to find out
/// whether somebody has been in a room without a break.
const MAX_STEPS: usize = 4;
const MAX_LOCAL: usize = 16;

#[derive(Deserialize)]
struct MemberEvent {
    content: Membership,
}

#[derive(Deserialize)]
struct Membership {
    membership: MembershipState,
}

/// Finds rooms that are shared with users of other servers.
pub(super) struct Sharing {
    store: Store,
    sync: SyncEngine,
    rooms: Cache<OwnedUserId, RoomNo>,
}

impl Sharing {
    pub(super) fn new(store: Store, sync: SyncEngine) -> Self {
        Self {
            store,
            sync,
            rooms: Cache::new(MAX_REMEMBERED),
        }
    }

    /// Notes a room that a user shares with this server.
    pub(super) fn remember(&self, user: &UserId, room: RoomNo) {
        self.rooms.insert(user.to_owned(), room);
    }

    /// The room that is remembered for a user, if it still is shared.
    pub(super) async fn remembered(
        &self,
        user: &UserId,
    ) -> Result<Option<Arc<RoomSnapshot>>, RemoteError> {
        match self.rooms.get(user) {
            Some(room) => Ok(self.room_shared(user, room).await?),
            None => Ok(None),
        }
    }

    /// A room that a user shares with this server now. May look at all rooms of the server: a point
    /// read for each.
    pub(super) async fn room_with(
        &self,
        user: &UserId,
    ) -> Result<Option<Arc<RoomSnapshot>>, RemoteError> {
        if let Some(room) = self.remembered(user).await? {
            return Ok(Some(room));
        }
        let kind = StateEventType::RoomMember.to_string();
        let numbers = self.store.room_numbers().await?;
        for numbers in numbers.chunks(BATCH) {
            let keys = numbers
                .iter()
                .map(|room| key![*room, kind.as_str(), user.as_str()]);
            let keys: Vec<Key> = keys.collect();
            let slots = self.store.get_many::<StateRow>(&keys).await?;
            let slots = slots.into_iter().flatten();
            let events: Vec<Key> = slots.map(|slot| key![slot.room, slot.pos]).collect();
            if events.is_empty() {
                continue;
            }
            let events = self.store.get_many::<EventRow>(&events).await?;
            for event in events.into_iter().flatten().filter(says_joined) {
                if let Some(room) = self.room_shared(user, event.room).await? {
                    self.remember(user, room.no);
                    return Ok(Some(room));
                }
            }
        }
        Ok(None)
    }

    async fn room_shared(
        &self,
        user: &UserId,
        room: RoomNo,
    ) -> Result<Option<Arc<RoomSnapshot>>, SyncError> {
        let room = self.sync.room(room).await?;
        Ok(room.filter(|room| is_shared(room, user)))
    }

    /// Have the user and somebody of this server been in a room ever since a place? Then their
    /// server has told of every change since. No is the safe answer.
    pub(super) async fn holds_since(
        &self,
        user: &UserId,
        room: RoomNo,
        place: i64,
    ) -> Result<bool, RemoteError> {
        let Some(room) = self.room_shared(user, room).await? else {
            return Ok(false);
        };
        let stays = self.stays_since(&room, user, place).await?;
        Ok(stays && self.is_ours_since(&room, place).await?)
    }

    /// Has a user who is in the room been so since a place, as far as a few steps back show?
    async fn stays_since(
        &self,
        room: &RoomSnapshot,
        user: &UserId,
        place: i64,
    ) -> Result<bool, RemoteError> {
        let Some(held) = room.get(&StateEventType::RoomMember, user.as_str()) else {
            return Ok(false);
        };
        let mut held = Arc::clone(held);
        for _ in 0..MAX_STEPS {
            if membership_of(&held) != MembershipState::Join {
                return Ok(false);
            }
            if held.pos <= place {
                return Ok(true);
            }
            let Some(before) = held.replaces else {
                return Ok(false);
            };
            let Some(row) = self.store.event_at(room.no, before).await? else {
                return Ok(false);
            };
            held = TimelineEvent::from_row(row, &room.room_id)?;
        }
        Ok(false)
    }

    async fn is_ours_since(&self, room: &RoomSnapshot, place: i64) -> Result<bool, RemoteError> {
        for user in room.local_joined.iter().take(MAX_LOCAL) {
            let held = room.get(&StateEventType::RoomMember, user.as_str());
            if held.is_some_and(|held| held.pos <= place) {
                return Ok(true);
            }
            let view = self.sync.user(user).await?;
            let Some(member) = view.member(room.no) else {
                continue;
            };
            let is_join = |membership: &MembershipState| *membership == MembershipState::Join;
            let later = member.spans.iter().filter(|(from, _)| *from > place);
            if is_join(&member.at_pos(place)) && later.map(|(_, it)| it).all(is_join) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Are a user and somebody of this server in the room?
pub(super) fn is_shared(room: &RoomSnapshot, user: &UserId) -> bool {
    !room.local_joined.is_empty() && room.is_joined(user)
}

fn says_joined(event: &EventRow) -> bool {
    serde_json::from_str::<MemberEvent>(&event.json)
        .is_ok_and(|event| event.content.membership == MembershipState::Join)
}
