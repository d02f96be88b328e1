//! Serving a server that lags from the log.
//!
//! What it missed is read from the log in the order in which it happened. After a long time, or when
//! the log no longer reaches back, it gets the newest events of each room instead: from those it
//! finds the way back to all others.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use matryx_entity::{
    event::EventRow, key, log::LogEntry, pdu::Pdu, position::Position, room_no::RoomNo,
    room_snapshot::RoomSnapshot, stored::Key, timeline::TimelineEvent,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId, events::StateEventType};
use tokio::time::sleep;

use super::{
    SenderError, Shared,
    audience::Reason,
    deliver::Failure,
    device_lists::{self, ListChange, ListChanges},
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
    /// Device lists of which the server is told last.
    lists: ListChanges,
}

/// How long to wait for the follower.
const BEHIND: Duration = Duration::from_millis(20);

/// What is to be sent next from the log.
struct Step {
    pdus: Vec<Arc<Pdu>>,
    lists: ListChanges,
    /// Where the server is when it has these.
    reach: Reach,
}

/// What an entry of the log asks to be sent.
enum Missed {
    Event(Box<EventRow>, Reason),
    List(OwnedUserId, ListChange),
}

impl Shared {
    /// One step: finds what is to be sent next and sends it, or notes that there is nothing.
    pub(super) async fn catch_up(
        &self,
        server: &OwnedServerName,
        tour: &mut Option<Tour>,
    ) -> Result<(), SenderError> {
        let (from, target, limit, is_careful, has_failed, has_followed) = {
            let state = self.state.lock();
            let Some(outbox) = state.outboxes.get(server) else {
                return Ok(());
            };
            let Some(lag) = &outbox.lag else {
                return Ok(());
            };
            (
                lag.delivered.clone(),
                state.dispatched.clone(),
                outbox.limit(),
                outbox.is_careful(),
                lag.failures > 0,
                state.has_followed,
            )
        };
        if !(has_followed && target.covers(&from)) {
            // After a start the follower first goes through what came after the mark. Until it has,
            // nothing shows whether the server has everything.
            sleep(BEHIND).await;
            return Ok(());
        }
        // A server that does not answer yet is not worth the long way.
        if tour.is_none() && !has_failed && target.distance_from(&from) > MAX_REPLAY {
            *tour = Some(self.survey(server, &from, &target).await?);
        }
        let step = match tour {
            Some(tour) => Some(self.next_of_tour(server, &from, tour, limit).await?),
            None => self.replay(server, &from, &target, limit).await?,
        };
        let Some(step) = step else {
            *tour = Some(self.survey(server, &from, &target).await?);
            return Ok(());
        };
        let (pdus, is_last) = (step.pdus.len(), !step.lists.is_empty());
        let mut batches = Vec::new();
        for batch in self.batches(server, step.pdus, step.lists, is_careful) {
            let matters = !batch.pdus.is_empty() || !batch.lists.is_empty();
            batches.push((self.complete(batch).await?, matters));
        }
        // There may be nothing to tell of a list.
        batches.retain(|(batch, _)| !batch.is_empty());
        if batches.is_empty() {
            *tour = None;
            return self.reached(server, step.reach).await;
        }
        for (batch, matters) in batches {
            if !self.send_missed(server, batch, matters).await {
                return Ok(());
            }
        }
        if let Some(tour) = tour {
            tour.found.drain(..pdus.min(tour.found.len()));
            if is_last {
                tour.lists.clear();
            }
        }
        self.progressed(server, step.reach).await
    }

    /// The transactions of one step.
    fn batches(
        &self,
        server: &ServerName,
        pdus: Vec<Arc<Pdu>>,
        mut lists: ListChanges,
        is_careful: bool,
    ) -> Vec<Batch> {
        let mut first = Batch {
            pdus,
            ..Batch::default()
        };
        if !is_careful || first.pdus.is_empty() {
            first.lists = device_lists::take(&mut lists);
        }
        if let Some(outbox) = self.state.lock().outboxes.get_mut(server) {
            first.edus = outbox.ephemeral.take(self.deps.clock.now());
        }
        let mut batches = vec![first];
        while !lists.is_empty() {
            batches.push(Batch {
                lists: device_lists::take(&mut lists),
                ..Batch::default()
            });
        }
        batches
    }

    /// Sends a transaction of what a server missed. Is it done with?
    async fn send_missed(&self, server: &OwnedServerName, batch: Batch, matters: bool) -> bool {
        let (pdus, edus) = (batch.pdus.len(), batch.edus.len());
        match self.transmit(server, batch).await {
            Ok(()) => true,
            Err(Failure::Refused(error)) => {
                self.refused(server, pdus, edus, &error) == Refused::GiveUp
            }
            Err(Failure::Failed(error)) => {
                self.failed(server, matters, &error).await;
                false
            }
        }
    }

    /// A transaction arrived: the server has everything up to here.
    pub(super) async fn progressed(
        &self,
        server: &OwnedServerName,
        reach: Reach,
    ) -> Result<(), SenderError> {
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
            // How long it is left alone counts for messages as well.
            if !lag.delivered.covers(&state.dispatched) || outbox.messages.wait() {
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
        let mut lists = ListChanges::new();
        for end in target.positions() {
            let node = end.node;
            while reach.seq(node) < end.seq && pdus.is_empty() && lists.is_empty() {
                let first = reach.seq(node) + 1;
                let last = end.seq.min(first + ROUND - 1);
                let entries = self.deps.store.log_range(node, first, last).await?;
                if entries.first().is_none_or(|(at, _)| at.seq != first) {
                    return Ok(None);
                }
                reach.advance(Position { node, seq: last });
                for (at, missed) in self.missed(entries).await? {
                    if pdus.len() == limit {
                        reach.end_before(at);
                        break;
                    }
                    match missed {
                        Missed::List(user, change) => {
                            if self.servers_with(&user).await?.contains(server) {
                                device_lists::add(&mut lists, user, change);
                            }
                        }
                        Missed::Event(row, reason) => {
                            let Some(room) = self.deps.sync.room(row.room).await? else {
                                continue;
                            };
                            let event = TimelineEvent::from_row(*row, &room.room_id)?;
                            if reason != Reason::Forward {
                                let mut told = self.introductions(&room, &event).await?;
                                for user in told.remove(server).into_iter().flatten() {
                                    device_lists::add(&mut lists, user, ListChange::Whole);
                                }
                            }
                            if self.is_for(&room, &event, reason, server).await? {
                                pdus.push(Arc::clone(&event.pdu));
                            }
                        }
                    }
                }
            }
        }
        Ok(Some(Step { pdus, lists, reach }))
    }

    /// What entries of the log ask to be sent; all events with one query.
    async fn missed(
        &self,
        entries: Vec<(Position, LogEntry)>,
    ) -> Result<Vec<(Position, Missed)>, SenderError> {
        let news = entries
            .into_iter()
            .filter_map(|(at, entry)| Some((at, News::of(&entry, &self.server_name)?)));
        let news: Vec<(Position, News)> = news.collect();
        let keys = news.iter().filter_map(|(_, news)| match news {
            News::Event(room, place, _) => Some(key![*room, *place]),
            _ => None,
        });
        let keys: Vec<Key> = keys.collect();
        let rows: Vec<Option<EventRow>> = self.deps.store.get_many(&keys).await?;
        let mut rows = rows.into_iter();
        let mut missed = Vec::with_capacity(news.len());
        for (at, news) in news {
            match news {
                News::Event(_, _, reason) => {
                    let row = rows.next().flatten().filter(|row| self.counts(row, reason));
                    missed.extend(row.map(|row| (at, Missed::Event(Box::new(row), reason))));
                }
                News::DeviceList(user, change) => missed.push((at, Missed::List(user, change))),
                News::Receipt(..) | News::Message(_) => {}
            }
        }
        Ok(missed)
    }

    /// Can an event be for other servers, or let somebody into its room?
    fn counts(&self, row: &EventRow, reason: Reason) -> bool {
        let is_ours = row.sender.server_name() == self.server_name;
        let member = StateEventType::RoomMember.to_string();
        let lets_in = || row.kind == member || row.delta.is_some();
        match reason {
            Reason::Ours => is_ours || lets_in(),
            Reason::Forward => !is_ours,
            Reason::Told => lets_in(),
        }
    }

    /// The rooms with news between two moments; all rooms, if the log does not reach back that far.
    async fn survey(
        &self,
        server: &ServerName,
        from: &Reach,
        until: &Reach,
    ) -> Result<Tour, SenderError> {
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
            lists: self.lists_since(server, from).await?,
        })
    }

    /// The lists of users who share a room with a server that have changed since a moment.
    async fn lists_since(
        &self,
        server: &ServerName,
        from: &Reach,
    ) -> Result<ListChanges, SenderError> {
        let mut lists = ListChanges::new();
        for list in self.deps.store.local_device_lists().await? {
            let is_new = list.at.seq > from.seq(list.at.node);
            if is_new && self.servers_with(&list.user).await?.contains(server) {
                lists.insert(list.user, ListChange::Whole);
            }
        }
        Ok(lists)
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
                for user in self.introductions_since(&room, server, since) {
                    tour.lists.insert(user.clone(), ListChange::Whole);
                }
            }
            tour.rooms.pop();
        }
        let pdus: Vec<_> = tour.found.iter().take(limit).cloned().collect();
        let is_last = tour.rooms.is_empty() && pdus.len() == tour.found.len();
        Ok(if is_last {
            Step {
                pdus,
                lists: tour.lists.clone(),
                reach: tour.until.clone(),
            }
        } else {
            Step {
                pdus,
                lists: ListChanges::new(),
                reach: from.clone(),
            }
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
