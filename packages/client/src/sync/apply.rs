//! Applying committed log entries to the caches, in order, and waking whom they concern.

use std::sync::Arc;

use matryx_entity::{
    account_data::AccountData,
    event::EventRow,
    log::{ClientTransaction, LogEntry},
    member::Member,
    member_delta::MemberDelta,
    position::Position,
    receipt::Receipt,
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, SlotChange},
    timeline::TimelineEvent,
    to_device::ToDeviceMessage,
};
use matryx_surrealdb::{CommittedBatch, CommittedEntry};
use ruma::{
    OwnedUserId, ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{
    attachment::Attachment,
    engine::{Inner, SyncEngine},
    index::{Change, Index, Turn},
    receipts::RoomReceipts,
    user_view::UserView,
};

/// What an event entry brings along.
#[derive(Debug)]
pub(crate) enum NewEvent {
    /// Handed over by the room's writer.
    Handed {
        event: Arc<TimelineEvent>,
        snapshot: Arc<RoomSnapshot>,
    },
    /// Read back from the database; gone if the row is not there.
    Row(Option<Box<EventRow>>),
}

/// A log entry with what is needed to apply it.
#[derive(Debug)]
pub(crate) enum Loaded {
    Event {
        new: NewEvent,
        member: Option<Arc<Member>>,
        delta: Option<Arc<MemberDelta>>,
    },
    Member(Option<Arc<Member>>),
    Redacted(Option<Arc<TimelineEvent>>),
    Receipt(Option<Arc<Receipt>>),
    AccountData(Option<Arc<AccountData>>),
    ToDevice(Arc<[Arc<ToDeviceMessage>]>),
    /// The entry says it all.
    Plain,
}

impl Loaded {
    /// What the writer handed over with the entry; `None` if that is not enough.
    fn from_attachment(entry: &CommittedEntry) -> Option<Self> {
        let attachment = entry.attachment.as_ref()?.downcast_ref::<Attachment>()?;
        match (&entry.entry, attachment.clone()) {
            (
                LogEntry::Event {
                    member: named,
                    shares,
                    ..
                },
                Attachment::Event {
                    event,
                    snapshot,
                    member,
                    delta,
                },
            ) if named.is_some() == member.is_some() && *shares == delta.is_some() => {
                Some(Self::Event {
                    new: NewEvent::Handed { event, snapshot },
                    member,
                    delta,
                })
            }
            (LogEntry::Member { .. }, Attachment::Member(member)) => {
                Some(Self::Member(Some(member)))
            }
            (LogEntry::Redacted { .. }, Attachment::Redacted(event)) => {
                Some(Self::Redacted(Some(event)))
            }
            (LogEntry::Receipt { .. }, Attachment::Receipt(receipt)) => {
                Some(Self::Receipt(Some(receipt)))
            }
            (LogEntry::AccountData { .. }, Attachment::AccountData(data)) => {
                Some(Self::AccountData(Some(data)))
            }
            (LogEntry::ToDevice { .. }, Attachment::ToDevice(messages)) => {
                Some(Self::ToDevice(messages))
            }
            _ => None,
        }
    }

    fn needs_none(entry: &LogEntry) -> bool {
        matches!(
            entry,
            LogEntry::Forward { .. }
                | LogEntry::Device { .. }
                | LogEntry::Signed { .. }
                | LogEntry::OneTimeKeys { .. }
                | LogEntry::ToDevice { .. }
                | LogEntry::SentToDevice { .. }
                | LogEntry::QueuedEdu { .. }
                | LogEntry::Revoked { .. }
                | LogEntry::Erased { .. }
                | LogEntry::User { .. }
        )
    }
}

impl SyncEngine {
    /// Applies a batch that this process's log writer has just committed: synchronously, no I/O.
    ///
    /// Entries that were applied already are skipped; entries that cannot be applied yet (one
    /// before them is missing, or came without its attachment) are left to the log path.
    pub fn apply(&self, batch: &CommittedBatch) {
        let inner = &*self.inner;
        let mut applied = Vec::with_capacity(batch.entries.len());
        let mut wake = Wake::default();
        {
            let mut index = inner.index.write();
            for entry in &batch.entries {
                stamp(entry);
                match index.turn(entry.at) {
                    Turn::Done => continue,
                    Turn::Early => break,
                    Turn::Next => {}
                }
                let plain = || Loaded::needs_none(&entry.entry).then_some(Loaded::Plain);
                let Some(loaded) = Loaded::from_attachment(entry).or_else(plain) else {
                    break;
                };
                inner.apply_entry(&mut index, entry.at, &entry.entry, loaded, &mut wake);
                applied.push((entry.at, &entry.entry));
            }
            let last = batch.entries.last();
            if last.is_some_and(|last| index.turn(last.at) != Turn::Done) {
                inner.behind.notify_one();
            }
        }
        inner.finish(applied, &wake);
    }

    /// Applies entries that were read from the log.
    pub(crate) fn apply_read(&self, entries: Vec<(Position, LogEntry, Loaded)>) {
        let inner = &*self.inner;
        let mut applied = Vec::with_capacity(entries.len());
        let mut wake = Wake::default();
        {
            let mut index = inner.index.write();
            for (at, entry, loaded) in entries {
                if index.turn(at) == Turn::Next {
                    inner.apply_entry(&mut index, at, &entry, loaded, &mut wake);
                    applied.push((at, entry));
                }
            }
        }
        let applied = applied.iter().map(|(at, entry)| (*at, entry));
        inner.finish(applied, &wake);
    }
}

/// The event's own copy of its position, whoever applies the entry: the room's writer builds its
/// next snapshots on it.
fn stamp(entry: &CommittedEntry) {
    let attachment = entry.attachment.as_ref();
    if let Some(Attachment::Event { event, .. }) =
        attachment.and_then(|attachment| attachment.downcast_ref::<Attachment>())
    {
        event.set_at(entry.at);
    }
}

/// Whom a batch concerns.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) users: Vec<OwnedUserId>,
    rooms: Vec<RoomNo>,
    /// Whose devices changed: that concerns all who are in a room with them.
    pub(crate) devices_of: Vec<OwnedUserId>,
}

impl Wake {
    fn room(&mut self, room: RoomNo) {
        if !self.rooms.contains(&room) {
            self.rooms.push(room);
        }
    }
}

impl Inner {
    fn finish<'a>(&self, applied: impl IntoIterator<Item = (Position, &'a LogEntry)>, wake: &Wake) {
        {
            let listeners = self.listeners.read();
            for (at, entry) in applied {
                if let LogEntry::Event { txn: Some(txn), .. } = entry {
                    self.presence.act(&txn.user);
                } else if let LogEntry::Receipt { user, .. } = entry
                    && user.server_name() == self.options.server_name
                {
                    self.presence.act(user);
                }
                listeners.iter().for_each(|listener| listener(at, entry));
            }
        }
        self.progress.notify_waiters();
        for user in &wake.users {
            self.waiters.wake_user(user);
        }
        for room in &wake.rooms {
            match self.rooms.cached(*room) {
                Some(snapshot) => self.waiters.wake_any_of(&snapshot.local_joined),
                // Nobody looked at the room lately. A user whose view is not in memory may be in
                // it.
                None => self.waiters.wake_where(|user| {
                    self.users
                        .get(user)
                        .is_none_or(|view| view.membership(*room) == MembershipState::Join)
                }),
            }
        }
        if !wake.devices_of.is_empty() {
            self.waiters
                .wake_where(|user| wake.devices_of.iter().any(|of| self.may_share(user, of)));
        }
    }

    /// Wakes those who share a room with users whose presence changed.
    pub(super) fn tell_presence(&self) {
        let fresh = self.presence.take_fresh();
        if !fresh.is_empty() {
            self.waiters
                .wake_where(|user| fresh.iter().any(|of| self.may_share(user, of)));
        }
    }

    /// May a local user be in a room with another? Yes, if it takes reading to tell.
    fn may_share(&self, user: &UserId, other: &UserId) -> bool {
        user == other
            || self.users.get(&user.to_owned()).is_none_or(|view| {
                view.joined().any(|member| {
                    self.rooms
                        .cached(member.room)
                        .is_none_or(|room| room.is_joined(other))
                })
            })
    }

    fn apply_entry(
        &self,
        index: &mut Index,
        at: Position,
        entry: &LogEntry,
        loaded: Loaded,
        wake: &mut Wake,
    ) {
        let change = match (entry, loaded) {
            (
                LogEntry::Event {
                    room, txn, member, ..
                },
                Loaded::Event {
                    new,
                    member: record,
                    delta,
                },
            ) => {
                self.apply_event(at, *room, new, txn.as_ref());
                wake.room(*room);
                if let Some(user) = member {
                    self.apply_member(at, user, record);
                    wake.users.push(user.clone());
                }
                Change::Event {
                    room: *room,
                    member: member.clone(),
                    delta,
                }
            }
            (LogEntry::Member { user, room }, Loaded::Member(record)) => {
                self.apply_member(at, user, record);
                wake.users.push(user.clone());
                Change::Member {
                    user: user.clone(),
                    room: *room,
                }
            }
            (LogEntry::Redacted { room, pos }, Loaded::Redacted(event)) => {
                self.events.invalidate(&(*room, *pos));
                self.apply_redacted(*room, event.as_ref());
                Change::Other
            }
            (LogEntry::Receipt { room, .. }, Loaded::Receipt(Some(receipt))) => {
                let receipt = receipt_at(&receipt, at);
                self.apply_receipt(*room, &receipt);
                if receipt.is_private() {
                    wake.users.push(receipt.user.clone());
                } else {
                    wake.room(*room);
                }
                Change::Receipt(receipt)
            }
            (LogEntry::AccountData { user, room, kind }, Loaded::AccountData(data)) => {
                self.update_user(user, |view| match data {
                    Some(data) => view.set_account_data(account_data_at(&data, at)),
                    None => view.remove_account_data(room.as_deref(), kind, at),
                });
                wake.users.push(user.clone());
                Change::AccountData { user: user.clone() }
            }
            (LogEntry::Erased { user }, _) => {
                self.erased.add(user);
                Change::Other
            }
            (entry, loaded) => self.apply_to_devices(at, entry, &loaded, wake),
        };
        index.push(at, change);
    }

    fn apply_event(
        &self,
        at: Position,
        room: RoomNo,
        new: NewEvent,
        transaction: Option<&ClientTransaction>,
    ) {
        match new {
            NewEvent::Handed { event, snapshot } => {
                if let Some(transaction) = transaction {
                    self.transactions
                        .insert(transaction.clone(), event.pdu.event_id());
                }
                event.set_at(at);
                self.rooms.publish(&snapshot);
            }
            NewEvent::Row(Some(row)) => {
                if let Some(transaction) = transaction {
                    self.transactions.insert(transaction.clone(), &row.event_id);
                }
                let local = self.rooms.local();
                self.rooms
                    .update(room, |snapshot| advance(snapshot, *row, local));
            }
            NewEvent::Row(None) => self.rooms.invalidate(room),
        }
    }

    fn apply_redacted(&self, room: RoomNo, event: Option<&Arc<TimelineEvent>>) {
        match event {
            Some(event) => self.rooms.update(room, |snapshot| {
                let mut next = RoomSnapshot::clone(snapshot);
                next.replace_event(event);
                Some(Arc::new(next))
            }),
            None => self.rooms.invalidate(room),
        }
    }

    fn apply_receipt(&self, room: RoomNo, receipt: &Arc<Receipt>) {
        self.receipts.update(&room, |receipts| {
            let mut next = RoomReceipts::clone(receipts);
            next.set(Arc::clone(receipt));
            Some(Arc::new(next))
        });
    }

    /// A record that is gone (or was never there) makes the view be read again.
    fn apply_member(&self, at: Position, user: &UserId, record: Option<Arc<Member>>) {
        match record {
            Some(record) => self.update_user(user, |view| view.set_member(member_at(&record, at))),
            None => self.users.invalidate(&user.to_owned()),
        }
    }

    fn update_user(&self, user: &UserId, change: impl FnOnce(&mut UserView)) {
        self.users.update(&user.to_owned(), |view| {
            let mut next = UserView::clone(view);
            change(&mut next);
            Some(Arc::new(next))
        });
    }
}

/// The room after the event of `row`; none (read it again) if that does not follow from what is
/// in memory.
fn advance(
    snapshot: &Arc<RoomSnapshot>,
    row: EventRow,
    local: &ServerName,
) -> Option<Arc<RoomSnapshot>> {
    if row.pos <= snapshot.head {
        return Some(Arc::clone(snapshot));
    }
    if row.pos != snapshot.head + 1 {
        return None;
    }
    let extremities = row.extremities.clone();
    let event = TimelineEvent::from_row(row, &snapshot.room_id).ok()?;
    let changes = slot_changes(snapshot, &event)?;
    let mut next = RoomSnapshot::clone(snapshot);
    next.apply(&event, extremities, changes, local);
    Some(Arc::new(next))
}

/// The slots that an event changed; none if that takes an event that is not in memory.
fn slot_changes(snapshot: &RoomSnapshot, event: &Arc<TimelineEvent>) -> Option<Vec<SlotChange>> {
    let Some(delta) = &event.delta else {
        let own = event.pdu.state_kind().filter(|_| event.is_shown());
        let change = own.map(|kind| SlotChange {
            kind,
            state_key: event.pdu.state_key().unwrap_or_default().to_owned(),
            event: Some(Arc::clone(event)),
        });
        return Some(change.into_iter().collect());
    };
    let changes = delta.iter().map(|change| {
        let holder = match change.pos {
            None => None,
            Some(pos) if pos == event.pos => Some(Arc::clone(event)),
            Some(pos) => {
                let mut recent = snapshot.recent.iter();
                Some(Arc::clone(recent.find(|event| event.pos == pos)?))
            }
        };
        Some(SlotChange {
            kind: StateEventType::from(change.kind.as_str()),
            state_key: change.state_key.clone(),
            event: holder,
        })
    });
    changes.collect()
}

/// The record as the log writer stamped it. What a writer attaches is from before the commit.
fn receipt_at(receipt: &Arc<Receipt>, at: Position) -> Arc<Receipt> {
    let mut receipt = Arc::clone(receipt);
    if receipt.at != at {
        Arc::make_mut(&mut receipt).at = at;
    }
    receipt
}

fn account_data_at(data: &Arc<AccountData>, at: Position) -> Arc<AccountData> {
    let mut data = Arc::clone(data);
    if data.at != at {
        Arc::make_mut(&mut data).at = at;
    }
    data
}

fn member_at(record: &Arc<Member>, at: Position) -> Arc<Member> {
    let mut record = Arc::clone(record);
    if record.at != at {
        Arc::make_mut(&mut record).at = at;
    }
    record
}
