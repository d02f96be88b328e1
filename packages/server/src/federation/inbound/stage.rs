//! Writing down events that can't be judged yet: so many, and no more.

use std::{collections::HashMap, sync::Arc, time::Duration};

use matryx_entity::{
    room_no::RoomNo,
    staged_event::{Lacks, StagedEvent},
    stored::Stored as _,
    verify::{Unverified, Verified},
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::{EventId, OwnedServerName, ServerName};
use tokio::sync::Notify;

use super::Inbound;

/// The most events of one room that are staged.
const MAX_STAGED: usize = 200;

/// The most of them that nobody vouches for, because their signatures can't be checked yet; of these,
/// the most that one server sent, and the most that it sent of all rooms.
const MAX_UNVERIFIED: usize = 100;
const MAX_UNVERIFIED_OF_ONE: usize = 50;
const MAX_UNVERIFIED_IN_ALL: usize = 500;

/// How long a room rests between two looks at it for each of its staged events, whatever rings:
/// every look reads and verifies them all, and every event that comes into the room rings.
const REST: Duration = Duration::from_millis(2);

/// A room with staged events.
#[derive(Default)]
pub(super) struct Waiting {
    /// What was there when the database was last looked at.
    seen: Counts,
    /// What was staged since.
    fresh: Counts,
    /// Wakes the worker.
    bell: Arc<Notify>,
}

/// How many events are staged in a room.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// Those whose signatures can't be checked yet, by who sent them.
    unverified: HashMap<OwnedServerName, usize>,
}

impl Counts {
    fn of(rows: &[StagedEvent]) -> Self {
        let mut counts = Self::default();
        for row in rows {
            counts.add((row.lacks == Lacks::Keys).then_some(&row.origin));
        }
        counts
    }

    fn add(&mut self, sender_of_unverified: Option<&OwnedServerName>) {
        self.all += 1;
        if let Some(origin) = sender_of_unverified {
            *self.unverified.entry(origin.clone()).or_default() += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        self.all += other.all;
        for (origin, count) in other.unverified {
            *self.unverified.entry(origin).or_default() += count;
        }
    }

    fn unverified_of(&self, origin: &ServerName) -> usize {
        self.unverified.get(origin).copied().unwrap_or_default()
    }
}

impl Waiting {
    fn all(&self) -> usize {
        self.seen.all + self.fresh.all
    }

    fn unverified(&self) -> usize {
        let counts = [&self.seen, &self.fresh].into_iter();
        counts.flat_map(|it| it.unverified.values()).sum()
    }

    fn unverified_of(&self, origin: &ServerName) -> usize {
        self.seen.unverified_of(origin) + self.fresh.unverified_of(origin)
    }
}

impl Inbound {
    /// Writes an event down and has its past fetched. What became of that is the result of the
    /// event.
    pub(super) async fn stage(
        &self,
        room: RoomNo,
        origin: &ServerName,
        event: &Verified,
    ) -> Result<Result<(), String>, StoreError> {
        let row = self.row(room, origin, event.event_id(), event.json().to_string());
        self.write(row).await
    }

    /// Writes an event down whose signatures can't be checked yet.
    pub(super) async fn stage_unverified(
        &self,
        room: RoomNo,
        origin: &ServerName,
        event: &Unverified,
    ) -> Result<Result<(), String>, StoreError> {
        let json = matryx_entity::canonical::to_text(event.object());
        let mut row = self.row(room, origin, event.event_id(), json);
        row.lacks = Lacks::Keys;
        self.write(row).await
    }

    fn row(
        &self,
        room: RoomNo,
        origin: &ServerName,
        event_id: &EventId,
        json: String,
    ) -> StagedEvent {
        StagedEvent {
            room,
            event_id: event_id.to_owned(),
            origin: OwnedServerName::from(origin),
            attempts: 0,
            next_try_ts: self.0.deps.clock.now(),
            lacks: Lacks::Past,
            json,
        }
    }

    async fn write(&self, row: StagedEvent) -> Result<Result<(), String>, StoreError> {
        let sender_of_unverified = (row.lacks == Lacks::Keys).then_some(&row.origin);
        if !self.has_place(row.room, sender_of_unverified) {
            return Ok(Err(
                "too many events of this room wait; send it again later".to_owned(),
            ));
        }
        let store = self.0.deps.rooms.store();
        let mut plan = Plan::new();
        plan.create(&row);
        match store.commit(plan).await {
            Ok(_) => self.count_staged(row.room, sender_of_unverified),
            Err(StoreError::Exists { .. }) => {
                // The id does not cover the signatures: somebody may have sent it with wrong ones,
                // which must not keep the real ones out.
                let known: Option<StagedEvent> = store.get(&row.key()).await?;
                if row.lacks == Lacks::Past && known.is_some_and(|it| it.lacks == Lacks::Keys) {
                    let mut plan = Plan::new();
                    plan.put(&row);
                    store.commit(plan).await?;
                }
                self.wake(row.room);
            }
            Err(error) => return Err(error),
        }
        Ok(Ok(()))
    }

    /// May one more event be staged in this room?
    fn has_place(&self, room: RoomNo, sender_of_unverified: Option<&OwnedServerName>) -> bool {
        let waiting = self.0.waiting.lock();
        let here = waiting.get(&room);
        if here.map_or(0, Waiting::all) >= MAX_STAGED {
            return false;
        }
        let Some(origin) = sender_of_unverified else {
            return true;
        };
        let in_all: usize = waiting.values().map(|it| it.unverified_of(origin)).sum();
        here.map_or(0, Waiting::unverified) < MAX_UNVERIFIED
            && here.map_or(0, |here| here.unverified_of(origin)) < MAX_UNVERIFIED_OF_ONE
            && in_all < MAX_UNVERIFIED_IN_ALL
    }

    /// Counts one more staged event, and starts or wakes the room's worker.
    pub(super) fn count_staged(
        &self,
        room: RoomNo,
        sender_of_unverified: Option<&OwnedServerName>,
    ) {
        let mut rooms = self.0.waiting.lock();
        if let Some(waiting) = rooms.get_mut(&room) {
            waiting.fresh.add(sender_of_unverified);
            waiting.bell.notify_one();
            return;
        }
        let mut waiting = Waiting::default();
        waiting.fresh.add(sender_of_unverified);
        let bell = Arc::clone(&waiting.bell);
        rooms.insert(room, waiting);
        drop(rooms);
        let inbound = self.clone();
        self.0.deps.tasks.spawn(async move {
            tokio::select! {
                () = inbound.work(room, &bell) => {}
                () = inbound.0.deps.shutdown.cancelled() => {}
            }
        });
    }

    /// Wakes the room's worker, if it has staged events.
    pub(super) fn wake(&self, room: RoomNo) {
        let waiting = self.0.waiting.lock();
        if let Some(waiting) = waiting.get(&room) {
            waiting.bell.notify_one();
        }
    }

    /// The database is about to be looked at: what is staged from now on may not be seen.
    pub(super) fn before_look(&self, room: RoomNo) {
        if let Some(waiting) = self.0.waiting.lock().get_mut(&room) {
            let fresh = std::mem::take(&mut waiting.fresh);
            waiting.seen.merge(fresh);
        }
    }

    /// Notes what the database has.
    pub(super) fn note_look(&self, room: RoomNo, rows: &[StagedEvent]) {
        if let Some(waiting) = self.0.waiting.lock().get_mut(&room) {
            waiting.seen = Counts::of(rows);
        }
    }

    /// How long a room is left alone after a look at it.
    pub(super) fn rest(&self, room: RoomNo) -> Duration {
        let waiting = self.0.waiting.lock();
        let count = waiting.get(&room).map_or(0, Waiting::all);
        REST.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Nothing is staged in a room. Says whether that still holds; then its worker is to end.
    pub(super) fn is_done(&self, room: RoomNo) -> bool {
        let mut rooms = self.0.waiting.lock();
        let is_done = rooms.get(&room).is_none_or(|it| it.fresh.all == 0);
        if is_done {
            rooms.remove(&room);
        }
        is_done
    }
}
