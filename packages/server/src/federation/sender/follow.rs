//! From the log into the outboxes.
//!
//! The sync engine tells of every entry that it has applied, in memory. When that was too much, or
//! came with a gap, and after every start, the entries are read from the log instead.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use matryx_entity::{
    log::LogEntry, position::Position, room_no::RoomNo, room_snapshot::RoomSnapshot,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId, events::receipt::ReceiptType};

use super::{
    SenderError, Shared, State,
    audience::Reason,
    device_lists::ListChange,
    ephemeral::{Ephemeral, ReadUpTo},
    outbox::Queued,
    reach::Reach,
};

/// The most entries that wait in memory.
const MAX_FEED: usize = 8192;

/// How many entries of the log are read at a time.
const ROUND: u64 = 500;

/// How often the mark is written down.
const MARK_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// Entries that were applied and not looked at yet.
#[derive(Default)]
pub(super) struct Feed {
    entries: VecDeque<(Position, News)>,
    /// Up to where entries were heard of.
    seen: Reach,
    /// Entries are missing: they are to be read from the log.
    has_gap: bool,
}

/// What an entry of the log asks the sender to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Event(RoomNo, i64, Reason),
    Receipt(RoomNo, OwnedUserId, Option<String>),
    DeviceList(OwnedUserId, ListChange),
    Message(OwnedServerName),
}

impl News {
    pub(super) fn of(entry: &LogEntry, local: &ServerName) -> Option<Self> {
        match entry {
            LogEntry::Event {
                room, pos, told, ..
            } => {
                let reason = if *told { Reason::Told } else { Reason::Ours };
                Some(Self::Event(*room, *pos, reason))
            }
            LogEntry::Forward { room, pos } => Some(Self::Event(*room, *pos, Reason::Forward)),
            LogEntry::Receipt {
                room,
                user,
                kind,
                thread,
            } if user.server_name() == local && *kind == ReceiptType::Read.to_string() => {
                Some(Self::Receipt(*room, user.clone(), thread.clone()))
            }
            LogEntry::Device {
                user,
                devices,
                cross_signing,
            } if user.server_name() == local => {
                let change = ListChange::part(devices, *cross_signing);
                Some(Self::DeviceList(user.clone(), change))
            }
            LogEntry::QueuedEdu { server } => Some(Self::Message(server.clone())),
            _ => None,
        }
    }
}

impl Feed {
    /// Takes an entry in; says whether there is something to do.
    fn push(&mut self, at: Position, news: Option<News>) -> bool {
        let next = self.seen.seq(at.node) + 1;
        if at.seq < next {
            return false;
        }
        if at.seq > next || (news.is_some() && self.entries.len() >= MAX_FEED) {
            self.entries.clear();
            self.has_gap = true;
        }
        self.seen.advance(at);
        if self.has_gap {
            return true;
        }
        let is_news = news.is_some();
        self.entries.extend(news.map(|news| (at, news)));
        is_news
    }
}

impl Shared {
    /// Hears of an entry that was applied. Must not block.
    pub(super) fn hear(&self, at: Position, entry: &LogEntry) {
        let news = News::of(entry, &self.server_name);
        if self.feed.lock().push(at, news) {
            self.bell.notify_one();
        }
    }

    /// Notes entries that nobody told of.
    pub(super) fn note_seen(&self, positions: impl Iterator<Item = Position>) {
        let mut feed = self.feed.lock();
        positions.for_each(|position| feed.seen.advance(position));
        feed.entries.clear();
        feed.has_gap = true;
    }

    /// Puts the log into the outboxes until the server stops.
    pub(super) async fn follow(self: Arc<Self>) {
        let shutdown = self.deps.shutdown.clone();
        loop {
            let work = async {
                let dispatched = match self.dispatch().await {
                    Ok(()) => self.dispatch_presence().await,
                    failed => failed,
                };
                let marked = self.write_mark().await;
                dispatched.and(marked.map_err(SenderError::from))
            };
            let Some(outcome) = shutdown.run_until_cancelled(work).await else {
                break;
            };
            let pause = async {
                match outcome {
                    Ok(()) => {
                        let rest = tokio::time::timeout(MARK_INTERVAL, self.bell.notified());
                        // Either is a reason to look again.
                        drop(rest.await);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the federation sender cannot follow the log");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            if shutdown.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        if let Err(error) = self.write_mark().await {
            tracing::info!(%error, "what was sent last will be sent again at the next start");
        }
    }

    async fn dispatch(self: &Arc<Self>) -> Result<(), SenderError> {
        loop {
            let (entries, seen, has_gap) = {
                let mut feed = self.feed.lock();
                let entries = std::mem::take(&mut feed.entries);
                (entries, feed.seen.clone(), feed.has_gap)
            };
            if has_gap {
                self.read_up_to(&seen).await?;
                let mut feed = self.feed.lock();
                // What came meanwhile is not in the feed either.
                feed.has_gap = feed.seen != seen;
                continue;
            }
            if entries.is_empty() {
                let mut state = self.state.lock();
                state.dispatched.merge(&seen);
                state.has_followed = true;
                return Ok(());
            }
            for (at, news) in entries {
                if let Err(error) = self.dispatch_one(at, &news).await {
                    self.note_seen(std::iter::empty());
                    return Err(error);
                }
            }
            self.state.lock().dispatched.merge(&seen);
        }
    }

    /// Dispatches what is in the log up to a moment.
    async fn read_up_to(self: &Arc<Self>, end: &Reach) -> Result<(), SenderError> {
        for end in end.positions() {
            loop {
                let node = end.node;
                let from = self.state.lock().dispatched.seq(node) + 1;
                if from > end.seq {
                    break;
                }
                let to = end.seq.min(from + ROUND - 1);
                for (at, entry) in self.deps.store.log_range(node, from, to).await? {
                    if let Some(news) = News::of(&entry, &self.server_name) {
                        self.dispatch_one(at, &news).await?;
                    }
                }
                self.state
                    .lock()
                    .dispatched
                    .advance(Position { node, seq: to });
            }
        }
        Ok(())
    }

    async fn dispatch_one(self: &Arc<Self>, at: Position, news: &News) -> Result<(), SenderError> {
        match news {
            News::Event(room, place, reason) => {
                self.dispatch_event(at, *room, *place, *reason).await
            }
            News::Receipt(room, user, thread) => {
                self.dispatch_receipt(*room, user, thread.as_deref()).await
            }
            News::DeviceList(user, change) => self.dispatch_list(at, user, change).await,
            News::Message(server) => {
                let mut state = self.state.lock();
                let outbox = state.outboxes.entry(server.clone()).or_default();
                outbox.messages.wake();
                self.ensure_task(&mut state, server);
                Ok(())
            }
        }
    }

    async fn dispatch_event(
        self: &Arc<Self>,
        at: Position,
        room: RoomNo,
        place: i64,
        reason: Reason,
    ) -> Result<(), SenderError> {
        let Some(room) = self.deps.sync.room(room).await? else {
            return Ok(());
        };
        let Some(event) = self.event_at(&room, place).await? else {
            return Ok(());
        };
        let audience = self.audience(&room, &event, reason).await?;
        let introductions = match reason {
            Reason::Ours | Reason::Told => self.introductions(&room, &event).await?,
            // They came with the event's own entry.
            Reason::Forward => BTreeMap::new(),
        };
        let time = self.deps.clock.now();
        let mut state = self.state.lock();
        let state = &mut *state;
        // Together with the outboxes, so that a server that catches up meets either the event in
        // its outbox or the position in the log.
        for server in &audience {
            let outbox = state.outboxes.entry(server.clone()).or_default();
            let pdu = Arc::clone(&event.pdu);
            outbox.push(Queued { at, pdu }, &state.dispatched, time);
            self.ensure_task(state, server);
        }
        for (server, users) in introductions {
            let lists = users.into_iter().map(|user| (user, ListChange::Whole));
            self.push_lists(state, at, &server, lists);
        }
        state.dispatched.advance(at);
        Ok(())
    }

    async fn dispatch_list(
        self: &Arc<Self>,
        at: Position,
        user: &OwnedUserId,
        change: &ListChange,
    ) -> Result<(), SenderError> {
        let servers = self.servers_with(user).await?;
        let mut state = self.state.lock();
        for server in servers {
            let list = (user.clone(), change.clone());
            self.push_lists(&mut state, at, &server, std::iter::once(list));
        }
        // As with an event.
        state.dispatched.advance(at);
        Ok(())
    }

    fn push_lists(
        self: &Arc<Self>,
        state: &mut State,
        at: Position,
        server: &OwnedServerName,
        lists: impl Iterator<Item = (OwnedUserId, ListChange)>,
    ) {
        let time = self.deps.clock.now();
        let outbox = state.outboxes.entry(server.clone()).or_default();
        for (user, change) in lists {
            outbox.push_list((at, user, change), &state.dispatched, time);
        }
        self.ensure_task(state, server);
    }

    async fn dispatch_receipt(
        self: &Arc<Self>,
        no: RoomNo,
        user: &UserId,
        thread: Option<&str>,
    ) -> Result<(), SenderError> {
        let sync = &self.deps.sync;
        let Some(room) = sync
            .room(no)
            .await?
            .filter(|room| room.joined_servers.len() > 1)
        else {
            return Ok(());
        };
        let receipts = sync.receipts(no).await?;
        let Some(receipt) = receipts.get(user, &ReceiptType::Read, thread) else {
            return Ok(());
        };
        let slot = (
            room.room_id.clone(),
            user.to_owned(),
            receipt.thread.clone(),
        );
        let read = ReadUpTo {
            event_id: receipt.event_id.clone(),
            ts: receipt.ts,
        };
        self.to_members(&room, |ephemeral| {
            ephemeral.set_receipt(slot.clone(), read.clone());
        });
        Ok(())
    }

    /// Sends that a user types, or no longer does, unless the user is of another server.
    pub(super) fn send_typing(self: &Arc<Self>, room: RoomNo, user: &UserId, types: bool) {
        if user.server_name() != self.server_name {
            return;
        }
        // A room in which somebody types is in memory.
        if let Some(room) = self.deps.sync.cached_room(room) {
            self.to_members(&room, |ephemeral| {
                ephemeral.set_typing(room.room_id.clone(), user.to_owned(), types);
            });
        }
    }

    /// Puts something ephemeral into the outboxes of all servers in a room.
    fn to_members(self: &Arc<Self>, room: &RoomSnapshot, put: impl Fn(&mut Ephemeral)) {
        let mut state = self.state.lock();
        for server in room.joined_servers.keys() {
            if *server != self.server_name && self.acls.allows(room, server) {
                put(&mut state.outboxes.entry(server.clone()).or_default().ephemeral);
                self.ensure_task(&mut state, server);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news() -> News {
        News::Event(RoomNo(1), 1, Reason::Ours)
    }

    #[test]
    fn a_gap_sends_the_reader_to_the_log() {
        let mut feed = Feed::default();
        assert!(feed.push((1, 1).into(), Some(news())));
        assert!(!feed.push((1, 2).into(), None));
        assert!(!feed.push((1, 2).into(), Some(news())), "heard of already");
        assert_eq!((feed.entries.len(), feed.has_gap), (1, false));
        assert!(feed.push((1, 4).into(), Some(news())));
        assert_eq!((feed.entries.len(), feed.has_gap), (0, true));
        assert_eq!(feed.seen.seq(1), 4);
    }

    #[test]
    fn the_feed_is_bounded() {
        let mut feed = Feed::default();
        for seq in 1..=2 * MAX_FEED as u64 {
            feed.push((1, seq).into(), Some(news()));
        }
        assert!(feed.entries.is_empty() && feed.has_gap);
    }
}
