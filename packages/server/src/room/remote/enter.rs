//! Taking a room in that this server was not in: its state as another server tells it, and on top
//! of that the join of one of our users.

use std::collections::HashSet;

use matryx_entity::{
    auth::{self, AuthError},
    pdu::Pdu,
    resolve::StateSet,
    room::Room,
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    room_versions,
    stretch::Seam,
    verify::Verified,
};
use matryx_surrealdb::StoreError;
use ruma::{OwnedEventId, RoomId, RoomVersionId, ServerName, events::StateEventType};

use super::answer::ToldRoom;
use crate::room::{NotJudged, RoomError, Rooms, apart::Standing, in_flight, pipeline::Draft};

/// How many events of the state one query fetches.
const BATCH: usize = 500;
/// How often the join is put on top anew because the room moved on meanwhile.
const MAX_TRIES: u32 = 8;

impl Rooms {
    /// Makes a room one that this server is in.
    ///
    /// Everything but the join is kept aside first, in as many commits as it takes: a crash in
    /// between leaves events that nothing refers to yet, and the next attempt finds them kept.
    ///
    /// # Errors
    /// [`RoomError::BadAnswer`] when the rules of the room don't allow the join in that state.
    pub(super) async fn enter(
        &self,
        server: &ServerName,
        (room_id, version): (&RoomId, &RoomVersionId),
        join: Verified,
        told: ToldRoom,
    ) -> Result<(), RoomError> {
        let room = self.known_room(room_id, version).await?;
        match self.keep_aside(room, told.events).await {
            Ok(()) => {}
            Err(NotJudged::AuthEvents(holes)) => {
                tracing::warn!(%server, %room_id, holes = holes.len(), "the state has holes");
            }
            Err(NotJudged::Room(error)) => return Err(error),
            Err(error) => return Err(bad(server, error.to_string())),
        }
        for _ in 0..MAX_TRIES {
            match self.put_on_top(server, room, &join, &told.state).await {
                Err(RoomError::Store(StoreError::Conflict { .. } | StoreError::Exists { .. })) => {}
                entered => return entered,
            }
        }
        Err(RoomError::Busy)
    }

    async fn put_on_top(
        &self,
        server: &ServerName,
        room: RoomNo,
        join: &Verified,
        state: &[OwnedEventId],
    ) -> Result<(), RoomError> {
        let turn = self.turn(room).await?;
        let Some(head) = turn.clone() else {
            return Err(RoomError::Busy);
        };
        if !in_flight::succeeded(head.outcome.clone()).await {
            return Err(RoomError::Busy);
        }
        let known = self.event_in(room, join.event_id()).await?;
        if let Some((row, _)) = &known
            && !matryx_entity::event::is_aside(row.pos)
        {
            return Ok(());
        }
        let before = self.told_state(server, &head.snapshot, state).await?;
        self.check_join(server, &head.snapshot, join, &before)
            .await?;
        let mut draft = Draft::new(self, head);
        let standing = Standing {
            before,
            near: None,
            soft_failed: false,
            was_aside: known.is_some(),
            seam: Some(Seam::Entry),
        };
        let event = draft.append_apart(join.to_pdu(), standing).await?;
        draft.plan.put(&Room {
            no: room,
            room_id: draft.head.snapshot.room_id.clone(),
            version: draft.head.snapshot.version.clone(),
            entered: event.pos,
        });
        let landing = draft.take_off();
        draft.commit(turn, landing).await?;
        Ok(())
    }

    /// The state as it was told, without what its rules do not allow.
    async fn told_state(
        &self,
        server: &ServerName,
        room: &RoomSnapshot,
        ids: &[OwnedEventId],
    ) -> Result<StateSet, RoomError> {
        let mut state = StateSet::new();
        for ids in ids.chunks(BATCH) {
            for event in self.events_by_id(room, ids).await? {
                let pdu = &event.pdu;
                let (Some(kind), Some(key)) = (pdu.state_kind(), pdu.state_key()) else {
                    continue;
                };
                if event.rejected {
                    continue;
                }
                let slot = (kind, key.to_owned());
                if state.insert(slot, pdu.event_id().to_owned()).is_some() {
                    return Err(bad(server, "the state has a slot twice".to_owned()));
                }
            }
        }
        Ok(state)
    }

    async fn check_join(
        &self,
        server: &ServerName,
        room: &RoomSnapshot,
        join: &Pdu,
        state: &StateSet,
    ) -> Result<(), RoomError> {
        let rules = room_versions::rules(&room.version)?;
        let refused = |error: &AuthError| {
            bad(
                server,
                format!("the state does not allow the join: {error}"),
            )
        };
        let create = (StateEventType::RoomCreate, String::new());
        let named = join.auth_events().iter().chain(state.get(&create));
        let named: HashSet<OwnedEventId> = named.cloned().collect();
        let named: Vec<OwnedEventId> = named.into_iter().collect();
        let known = self.events_by_id(room, &named).await?;
        let authority: Vec<&Pdu> = known.iter().map(|event| &*event.pdu).collect();
        auth::authorize_by_auth_events(rules, join, &authority).map_err(|error| refused(&error))?;
        match self.check_by(room, join, state, &known).await {
            Ok(allowed) => allowed.map_err(|error| refused(&error)),
            Err(NotJudged::Room(error)) => Err(error),
            Err(error) => Err(bad(server, error.to_string())),
        }
    }
}

fn bad(server: &ServerName, reason: String) -> RoomError {
    RoomError::BadAnswer {
        server: server.to_owned(),
        reason,
    }
}
