//! Serving a server that lags from the log.
//!
//! What it missed is read from the log in the order in which it happened. After a long time, or when
//! the log no longer reaches back, it gets the newest events of each room instead: from those it
//! finds the way back to all others.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use matryx_entity::{
    event::EventRow, key, log::LogEntry, pdu::Pdu, position::Position, room_no::RoomNo,
    room_snapshot::RoomSnapshot, stored::Key, timeline::TimelineEvent,
};
use ruma::{OwnedServerName, ServerName, UserId, events::StateEventType};

use super::{
    SenderError, Shared,
    audience::Reason,
    deliver::Failure,
    follow::News,
    outbox::{Batch, Refused},
    reach::Reach,
};

/// How many entries of the log are read at a time: few, since most servers that are tried after a
/// failure fail again.
const ROUND: u64 = 100;

/// With more entries of the log to go through, the newest events of each room have to do.
const MAX_REPLAY: u64 = 5_000;

/// How many entries are read at a time to find out which rooms have changed.
const SURVEY_ROUND: u64 = 500;

/// How many of a room's newest events are looked at for one that is ours, and how many at a time.
const MAX_SEARCH: i64 = 1_000;
const SEARCH_STEP: i64 = 100;

/// The newest events of one room after another.
pub(super) struct Tour {
    /// Where the server is when it has them all.
    until: Reach,
    /// The rooms that are left, with the first place that counts.
    rooms: Vec<(RoomNo, i64)>,
    /// Events that were found and have not arrived.
    found: VecDeque<Arc<Pdu>>,
}

/// What is to be sent next from the log.
struct Step {
    pdus: Vec<Arc<Pdu>>,
    /// Where the server is when it has these.
    reach: Reach,
}

impl Shared {
    /// One step: finds what is to be sent next and sends it, or notes that there is nothing.
    pub(super) async fn catch_up(
        &self,
        server: &OwnedServerName,
        tour: &mut Option<Tour>,
    ) -> Result<(), SenderError> {
        let (from, target, limit, has_failed) = {
            let state = self.state.lock();
            let Some(outbox) = state.outboxes.get(server) else {
                return Ok(());
            };
            let Some(lag) = &outbox.lag else {
                return Ok(());
            };
            let target = state.dispatched.clone();
            (
                lag.delivered.clone(),
                target,
                outbox.limit(),
                lag.failures > 0,
            )
        };
        // A server that does not answer yet is not worth the long way.
        if tour.is_none() && !has_failed && target.distance_from(&from) > MAX_REPLAY {
            *tour = Some(self.survey(&from, &target).await?);
        }
        let step = match tour {
            Some(tour) => Some(self.next_of_tour(server, &from, tour, limit).await?),
            None => self.replay(server, &from, &target, limit).await?,
        };
        let Some(step) = step else {
            *tour = Some(self.survey(&from, &target).await?);
            return Ok(());
        };
        let edus = {
            let mut state = self.state.lock();
            let outbox = state.outboxes.get_mut(server);
            outbox.map(|outbox| outbox.ephemeral.take())
        };
        let batch = Batch {
            pdus: step.pdus,
            edus: edus.unwrap_or_default(),
        };
        if batch.is_empty() {
            *tour = None;
            return self.reached(server, step.reach).await;
        }
        let (pdus, edus) = (batch.pdus.len(), batch.edus.len());
        let arrived = match self.transmit(server, batch).await {
            Ok(()) => true,
            Err(Failure::Refused(error)) => {
                self.refused(server, pdus, edus, &error) == Refused::GiveUp
            }
            Err(Failure::Failed(error)) => {
                self.failed(server, pdus, &error).await;
                false
            }
        };
        if arrived {
            if let Some(tour) = tour {
                tour.found.drain(..pdus.min(tour.found.len()));
            }
            self.progressed(server, step.reach).await?;
        }
        Ok(())
    }

    /// A transaction arrived: the server has everything up to here.
    async fn progressed(&self, server: &OwnedServerName, reach: Reach) -> Result<(), SenderError> {
        let is_recorded = {
            let mut state = self.state.lock();
            let Some(outbox) = state.outboxes.get_mut(server) else {
                return Ok(());
            };
            outbox.arrived(0);
            let Some(lag) = &mut outbox.lag else {
                return Ok(());
            };
            if lag.failures > 0 {
                tracing::info!(%server, "a server can be reached again");
            }
            lag.failures = 0;
            let moved = lag.delivered != reach;
            lag.delivered = reach;
            lag.recorded && moved
        };
        if is_recorded {
            self.record(server).await?;
        }
        Ok(())
    }

    /// There was nothing to send up to here. If that is all there is, the server is served live
    /// again.
    async fn reached(&self, server: &OwnedServerName, reach: Reach) -> Result<(), SenderError> {
        let was_recorded = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(outbox) = state.outboxes.get_mut(server) else {
                return Ok(());
            };
            let Some(lag) = &mut outbox.lag else {
                return Ok(());
            };
            lag.delivered = reach;
            if !lag.delivered.covers(&state.dispatched) {
                return Ok(());
            }
            let was_recorded = lag.recorded;
            outbox.lag = None;
            was_recorded
        };
        if was_recorded {
            self.strike_out(server).await?;
        }
        Ok(())
    }

    /// What comes next in the log for this server: what one round finds. None if the log no longer
    /// reaches back.
    async fn replay(
        &self,
        server: &ServerName,
        from: &Reach,
        target: &Reach,
        limit: usize,
    ) -> Result<Option<Step>, SenderError> {
        let mut reach = from.clone();
        let mut pdus = Vec::new();
        for end in target.positions() {
            let node = end.node;
            while reach.seq(node) < end.seq && pdus.is_empty() {
                let first = reach.seq(node) + 1;
                let last = end.seq.min(first + ROUND - 1);
                let entries = self.deps.store.log_range(node, first, last).await?;
                if entries.first().is_none_or(|(at, _)| at.seq != first) {
                    return Ok(None);
                }
                reach.advance(Position { node, seq: last });
                for (at, row, reason) in self.events_of(entries).await? {
                    if pdus.len() == limit {
                        reach.end_before(at);
                        break;
                    }
                    let Some(room) = self.deps.sync.room(row.room).await? else {
                        continue;
                    };
                    let event = TimelineEvent::from_row(row, &room.room_id)?;
                    if self.is_for(&room, &event, reason, server).await? {
                        pdus.push(Arc::clone(&event.pdu));
                    }
                }
            }
        }
        Ok(Some(Step { pdus, reach }))
    }

    /// The events that entries of the log ask to be sent, with one query.
    async fn events_of(
        &self,
        entries: Vec<(Position, LogEntry)>,
    ) -> Result<Vec<(Position, EventRow, Reason)>, SenderError> {
        let mut wanted = Vec::new();
        for (at, entry) in entries {
            if let Some(News::Event(room, place, reason)) = News::of(&entry, &self.server_name) {
                wanted.push((at, room, place, reason));
            }
        }
        let keys: Vec<Key> = wanted
            .iter()
            .map(|(_, room, place, _)| key![*room, *place])
            .collect();
        let rows: Vec<Option<EventRow>> = self.deps.store.get_many(&keys).await?;
        let events = wanted.into_iter().zip(rows);
        let is_ours = |row: &EventRow| row.sender.server_name() == self.server_name;
        Ok(events
            .filter_map(|((at, _, _, reason), row)| Some((at, row?, reason)))
            .filter(|(_, row, reason)| is_ours(row) == (*reason == Reason::Ours))
            .collect())
    }

    /// The rooms with news between two moments; all rooms, if the log does not reach back that far.
    async fn survey(&self, from: &Reach, until: &Reach) -> Result<Tour, SenderError> {
        let mut rooms: BTreeMap<RoomNo, i64> = BTreeMap::new();
        let mut is_whole = true;
        for end in until.positions() {
            let mut first = from.seq(end.node) + 1;
            while first <= end.seq && is_whole {
                let last = end.seq.min(first + SURVEY_ROUND - 1);
                let entries = self.deps.store.log_range(end.node, first, last).await?;
                is_whole = entries.first().is_some_and(|(at, _)| at.seq == first);
                for (_, entry) in entries {
                    if let LogEntry::Event { room, pos, .. } | LogEntry::Forward { room, pos } =
                        entry
                    {
                        let place = rooms.entry(room).or_insert(pos);
                        *place = pos.min(*place);
                    }
                }
                first = last + 1;
            }
        }
        let rooms = if is_whole {
            rooms.into_iter().collect()
        } else {
            let all = self.deps.store.room_numbers().await?;
            all.into_iter().map(|room| (room, 1)).collect()
        };
        Ok(Tour {
            until: until.clone(),
            rooms,
            found: VecDeque::new(),
        })
    }

    async fn next_of_tour(
        &self,
        server: &ServerName,
        from: &Reach,
        tour: &mut Tour,
        limit: usize,
    ) -> Result<Step, SenderError> {
        while tour.found.len() < limit
            && let Some((room, since)) = tour.rooms.last().copied()
        {
            if let Some(room) = self.deps.sync.room(room).await? {
                let newest = self.newest_for(server, &room, since).await?;
                tour.found.extend(newest);
            }
            tour.rooms.pop();
        }
        let pdus: Vec<_> = tour.found.iter().take(limit).cloned().collect();
        let is_last = tour.rooms.is_empty() && pdus.len() == tour.found.len();
        let reach = if is_last { &tour.until } else { from };
        Ok(Step {
            pdus,
            reach: reach.clone(),
        })
    }

    /// The newest events of ours in a room, from a place on: those that nothing refers to yet, else
    /// the last one. For a server that is no longer in the room: what put its users out.
    async fn newest_for(
        &self,
        server: &ServerName,
        room: &RoomSnapshot,
        since: i64,
    ) -> Result<Vec<Arc<Pdu>>, SenderError> {
        let mut newest = Vec::new();
        if !room.joined_servers.contains_key(server) {
            let of_server = |user: &str| {
                <&UserId>::try_from(user).is_ok_and(|user| user.server_name() == server)
            };
            for (_, event) in room
                .slots(&StateEventType::RoomMember)
                .filter(|(user, event)| event.pos >= since && of_server(user))
            {
                if self.is_for(room, event, Reason::Ours, server).await? {
                    newest.push(Arc::clone(&event.pdu));
                }
            }
            return Ok(newest);
        }
        for row in self.deps.store.events_by_id(&room.extremities).await? {
            let Some(row) = row.filter(|row| row.pos >= since) else {
                continue;
            };
            let event = TimelineEvent::from_row(row, &room.room_id)?;
            if self.is_for(room, &event, Reason::Ours, server).await? {
                newest.push(Arc::clone(&event.pdu));
            }
        }
        let lowest = since.max(room.head - MAX_SEARCH + 1);
        let mut last = room.head;
        while newest.is_empty() && last >= lowest {
            let first = lowest.max(last - SEARCH_STEP + 1);
            let rows = self.deps.store.events(room.no, first, last).await?;
            for row in rows.into_iter().rev() {
                let event = TimelineEvent::from_row(row, &room.room_id)?;
                if self.is_for(room, &event, Reason::Ours, server).await? {
                    newest.push(Arc::clone(&event.pdu));
                    break;
                }
            }
            last = first - 1;
        }
        Ok(newest)
    }
}
