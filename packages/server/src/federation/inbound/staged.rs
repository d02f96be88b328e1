//! The worker of a room: judges its staged events once it has fetched what they lack.

use std::{collections::HashSet, time::Duration};

use matryx_entity::{
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
    server_keys::later,
    staged_event::StagedEvent,
    stored::Stored as _,
    verify::{Unverified, Verified},
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::OwnedEventId;
use tokio::{sync::Notify, time::sleep};

use super::Inbound;
use crate::{
    federation::fetch::FetchError,
    key::VerifyError,
    room::{NotJudged, RoomError},
};

/// How often an event is tried that can't be judged before it is given up.
const MAX_ATTEMPTS: u32 = 10;

/// The pause after the first attempt; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// How soon a room is looked at again after the database failed.
const STORE_PAUSE: Duration = Duration::from_secs(30);

/// Why a room could not be worked on.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl Inbound {
    /// Works on a room until nothing is staged in it.
    pub(super) async fn work(&self, room: RoomNo, bell: &Notify) {
        loop {
            let pause = {
                let Ok(_place) = self.0.places.acquire().await else {
                    return;
                };
                match self.pass(room).await {
                    Ok(pause) => pause,
                    Err(error) => {
                        tracing::warn!(%error, "staged events could not be judged");
                        Some(STORE_PAUSE)
                    }
                }
            };
            let Some(pause) = pause else {
                if self.is_done(room) {
                    return;
                }
                continue;
            };
            sleep(self.rest(room)).await;
            tokio::select! {
                () = sleep(pause) => {}
                () = bell.notified() => {}
            }
        }
    }

    /// Judges what can be judged now; how long the rest waits, nothing if there is none.
    async fn pass(&self, room: RoomNo) -> Result<Option<Duration>, WorkError> {
        let deps = &self.0.deps;
        self.before_look(room);
        let rows = deps.rooms.store().staged_events(room).await?;
        self.note_look(room, &rows);
        if rows.is_empty() {
            return Ok(None);
        }
        let snapshot = deps
            .rooms
            .sync()
            .room(room)
            .await
            .map_err(RoomError::from)?;
        let Some(snapshot) = snapshot.filter(|room| !room.local_joined.is_empty()) else {
            // Nobody here is in the room any more.
            let mut plan = Plan::new();
            for row in &rows {
                plan.delete::<StagedEvent>(&row.key());
            }
            deps.rooms.store().commit(plan).await?;
            return Ok(Some(Duration::ZERO));
        };
        let now = deps.clock.now();
        let (events, mut over) = self.verified(&snapshot, &rows).await;
        let mut rest = self.judge_known(&snapshot, events, &mut over).await?;
        let due = rows.iter().filter(|row| row.next_try_ts <= now);
        let due: HashSet<OwnedEventId> = due.map(|row| row.event_id.clone()).collect();
        rest.retain(|event| due.contains(event.event_id()));
        if !rest.is_empty() {
            let mut origins: Vec<_> = rows.iter().map(|row| row.origin.clone()).collect();
            origins.sort_unstable();
            origins.dedup();
            let judged = self.0.fetch.judge(&snapshot, origins, rest).await?;
            over.extend(judged.into_keys());
            if deps.rooms.resident(&snapshot.room_id).await.is_err() {
                // Everybody left meanwhile.
                return Ok(Some(Duration::ZERO));
            }
        }
        let pause = self.put_off(rows, &over, &due).await?;
        self.merge(room).await;
        Ok(Some(pause))
    }

    /// The staged events, verified (once more); and those that are over because they can't be.
    async fn verified(
        &self,
        room: &RoomSnapshot,
        rows: &[StagedEvent],
    ) -> (Vec<Verified>, HashSet<OwnedEventId>) {
        let mut over = HashSet::new();
        let mut events = Vec::new();
        for row in rows {
            match Unverified::parse(&row.json, &room.version) {
                Ok(event) if event.event_id() == row.event_id => events.push(event),
                _ => {
                    over.insert(row.event_id.clone());
                }
            }
        }
        let mut verified = Vec::with_capacity(events.len());
        for outcome in self.0.deps.key_ring.verify_all(events).await {
            match outcome {
                Ok(event) => verified.push(event),
                Err(
                    VerifyError::Untrusted { event_id, .. } | VerifyError::NoKeys { event_id, .. },
                ) => {
                    over.insert(event_id);
                }
                Err(_) => {}
            }
        }
        (verified, over)
    }

    /// Judges those events before which everything is known by now: what came in meanwhile may be
    /// all that was missing. The others are left.
    async fn judge_known(
        &self,
        room: &RoomSnapshot,
        mut events: Vec<Verified>,
        over: &mut HashSet<OwnedEventId>,
    ) -> Result<Vec<Verified>, WorkError> {
        let rooms = &self.0.deps.rooms;
        loop {
            let prev = events.iter().flat_map(|event| event.prev_events()).cloned();
            let missing = rooms.without_state(room, prev).await?;
            let is_known =
                |event: &Verified| event.prev_events().iter().all(|id| !missing.contains(id));
            let (known, mut rest): (Vec<_>, Vec<_>) = events.into_iter().partition(is_known);
            let mut progress = false;
            for event in known {
                match rooms.receive(room.no, event.clone(), None).await {
                    Ok(_) | Err(NotJudged::OtherRoom) => {
                        over.insert(event.event_id().to_owned());
                        progress = true;
                    }
                    Err(NotJudged::Room(error)) if error.is_outage() => return Err(error.into()),
                    Err(_) => rest.push(event),
                }
            }
            if !progress {
                return Ok(rest);
            }
            events = rest;
        }
    }

    /// Removes what is over, puts off what was due, and says how long the next one waits.
    async fn put_off(
        &self,
        rows: Vec<StagedEvent>,
        over: &HashSet<OwnedEventId>,
        due: &HashSet<OwnedEventId>,
    ) -> Result<Duration, StoreError> {
        let deps = &self.0.deps;
        let now = deps.clock.now();
        let mut plan = Plan::new();
        let mut next = None;
        for mut row in rows {
            let is_due = due.contains(&row.event_id);
            if over.contains(&row.event_id) || is_due && row.attempts + 1 >= MAX_ATTEMPTS {
                plan.delete::<StagedEvent>(&row.key());
                continue;
            }
            if is_due {
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(row.attempts);
                row.attempts += 1;
                row.next_try_ts = later(now, pause.min(LONGEST_PAUSE));
                plan.put(&row);
            }
            next = next.min(Some(row.next_try_ts)).or(Some(row.next_try_ts));
        }
        if !plan.is_empty() {
            deps.rooms.store().commit(plan).await?;
        }
        let now = u64::from(now.get());
        Ok(next.map_or(Duration::ZERO, |next| {
            Duration::from_millis(u64::from(next.get()).saturating_sub(now))
        }))
    }
}
