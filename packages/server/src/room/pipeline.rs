//! Events on their way into a room: one [`Draft`] gathers them, and everything that they imply,
//! into one plan.
//!
//! Each event is built on the one before it, checked by the auth rules, and projected: timeline
//! row and pointer, state and state group, membership record, redacted target, log entry.

use std::{collections::HashMap, sync::Arc};

use matryx_client::sync::Attachment;
use matryx_entity::{
    auth, build,
    event::{EventPointer, EventRow},
    key,
    log::{ClientTransaction, LogEntry},
    member::Member,
    member_delta::MemberDelta,
    pdu::Pdu,
    position::Position,
    room_no::RoomNo,
    room_snapshot::{SlotChange, membership_of},
    room_versions,
    state::{StateGroup, StateRow},
    timeline::TimelineEvent,
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use tokio::sync::OwnedMutexGuard;

use super::{
    RoomError, Rooms,
    decision::Intent,
    in_flight::{self, Landing},
    incoming::Way,
    queue::{GroupChain, Head, Turn},
};

/// Events that are built and not yet committed.
pub(super) struct Draft<'a> {
    pub(super) rooms: &'a Rooms,
    pub(super) head: Head,
    pub(super) plan: Plan,
    /// How its events came here.
    pub(super) way: Way,
    /// Membership records as this draft leaves them.
    members: HashMap<OwnedUserId, Member>,
}

/// What follows from an event for the users whom it concerns.
#[derive(Debug, Default)]
pub(super) struct Implied {
    /// The membership record of a user of this server.
    pub(super) member: Option<Member>,
    /// Who comes into an encrypted room, or leaves it.
    pub(super) delta: Option<MemberDelta>,
}

impl<'a> Draft<'a> {
    /// A draft on top of `head`.
    pub(super) fn new(rooms: &'a Rooms, head: Head) -> Self {
        let mut plan = Plan::new();
        plan.fence(head.snapshot.no, head.epoch);
        Self {
            rooms,
            head,
            plan,
            way: Way::Built(None),
            members: HashMap::new(),
        }
    }

    /// Does this draft write membership records? They are projected from the stored record, so
    /// the next writer must not start before they are committed.
    pub(super) fn changes_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Builds an event on top of the room, checks it and adds what it implies.
    ///
    /// Reads the membership record that a member event changes and the event that a redaction
    /// redacts: one point read each, none for anything else.
    pub(super) async fn add(
        &mut self,
        intent: Intent,
        txn: Option<ClientTransaction>,
    ) -> Result<Arc<TimelineEvent>, RoomError> {
        let deps = &self.rooms.inner.deps;
        let ts = intent.ts.unwrap_or_else(|| deps.clock.now());
        let pdu = build::build(
            intent.template,
            &self.head.snapshot,
            &intent.sender,
            ts,
            &deps.signer,
        )?;
        self.add_built(pdu, txn).await
    }

    /// Adds an event that is already built on this draft's head.
    pub(super) async fn add_built(
        &mut self,
        pdu: Pdu,
        txn: Option<ClientTransaction>,
    ) -> Result<Arc<TimelineEvent>, RoomError> {
        let rules = room_versions::rules(&self.head.snapshot.version)?;
        auth::authorize(rules, &pdu, &self.head.snapshot)?;
        self.append(Arc::new(pdu), txn, false).await
    }

    /// Adds an event that may be in the room and that follows all others.
    pub(super) async fn append(
        &mut self,
        pdu: Arc<Pdu>,
        txn: Option<ClientTransaction>,
        was_aside: bool,
    ) -> Result<Arc<TimelineEvent>, RoomError> {
        let pos = self.head.snapshot.head + 1;
        let slot = pdu.state_kind().zip(pdu.state_key().map(str::to_owned));
        let replaces = slot
            .as_ref()
            .and_then(|(kind, key)| self.head.snapshot.get(kind, key))
            .map(|event| event.pos);
        let group = if slot.is_some() {
            2 * pos
        } else {
            self.head.snapshot.group
        };
        let redacted = self.redact_target(&pdu, pos).await?;
        let event = Arc::new(TimelineEvent::new(pdu, pos, group, replaces));
        let extremities = vec![event.pdu.event_id().to_owned()];
        let changes: Vec<SlotChange> = slot
            .into_iter()
            .map(|(kind, state_key)| SlotChange {
                kind,
                state_key,
                event: Some(Arc::clone(&event)),
            })
            .collect();
        if !changes.is_empty() {
            self.write_state(&event).await?;
        }
        let delta = MemberDelta::of(&self.head.snapshot, &changes, pos);
        let server_name = self.rooms.server_name();
        self.head
            .snapshot
            .apply(&event, extremities, changes, server_name);
        let member = self.project_member(&event).await?;
        self.write_event(&event, txn, Implied { member, delta }, was_aside);
        if let Some(redacted) = redacted {
            self.write_redacted(redacted);
        }
        Ok(event)
    }

    /// The current state and the state group after a state event.
    ///
    /// Reads the newest state group if this is the first state event on a head that was loaded.
    async fn write_state(&mut self, event: &Arc<TimelineEvent>) -> Result<(), StoreError> {
        let pdu = &event.pdu;
        let Some(state_key) = pdu.state_key() else {
            return Ok(());
        };
        let kind = pdu.kind().to_string();
        let event_id = pdu.event_id().to_owned();
        self.plan.put(&StateRow {
            room: self.head.snapshot.no,
            kind: kind.clone(),
            state_key: state_key.to_owned(),
            event_id: event_id.clone(),
            pos: event.pos,
            since: event.pos,
        });
        let room = self.head.snapshot.no;
        let prev = self.head.snapshot.group;
        let before = self.rooms.chain_of(&self.head).await?;
        let longest = StateGroup::longest_chain(self.head.snapshot.state_len());
        let full = prev == 0 || before.length >= longest;
        let mut set = vec![(kind, state_key.to_owned(), event_id)];
        if full {
            let replaced = (pdu.state_kind(), state_key);
            set.extend(self.head.snapshot.state().filter_map(|other| {
                let other_key = other.pdu.state_key()?;
                ((other.pdu.state_kind(), other_key) != replaced).then(|| {
                    (
                        other.pdu.kind().to_string(),
                        other_key.to_owned(),
                        other.pdu.event_id().to_owned(),
                    )
                })
            }));
        }
        let chain = if full {
            GroupChain {
                base: event.group,
                length: 0,
            }
        } else {
            GroupChain {
                length: before.length + 1,
                ..before
            }
        };
        self.head.chain = Some(chain);
        self.plan.create(&StateGroup {
            room,
            group: event.group,
            prev: (!full).then_some(prev),
            base: chain.base,
            length: chain.length,
            set,
            unset: Vec::new(),
        });
        Ok(())
    }

    /// The membership record after a member event; none for any other, and for users of other
    /// servers.
    async fn project_member(
        &mut self,
        event: &Arc<TimelineEvent>,
    ) -> Result<Option<Member>, RoomError> {
        let is_member = *event.pdu.kind() == TimelineEventType::RoomMember;
        let key = event.pdu.state_key().filter(|_| is_member);
        match key.and_then(|key| self.local_user(key)) {
            Some(user) => Ok(Some(self.project(user, event, event.pos).await?)),
            None => Ok(None),
        }
    }

    /// The user of this server whose membership a slot holds.
    pub(super) fn local_user(&self, state_key: &str) -> Option<OwnedUserId> {
        let user = OwnedUserId::try_from(state_key).ok()?;
        (user.server_name() == self.rooms.server_name()).then_some(user)
    }

    /// The membership record of a user of this server whose member event is `event` since the one
    /// at `since`.
    pub(super) async fn project(
        &mut self,
        user: OwnedUserId,
        event: &TimelineEvent,
        since: i64,
    ) -> Result<Member, RoomError> {
        let snapshot = &self.head.snapshot;
        let previous = match self.members.remove(&user) {
            Some(member) => Some(member),
            None => {
                self.rooms
                    .store()
                    .get::<Member>(&key![user.as_str(), snapshot.no])
                    .await?
            }
        };
        let membership = membership_of(event);
        let stripped_state = match membership {
            MembershipState::Invite | MembershipState::Knock => {
                Some(super::invite::stripped_state(snapshot, event))
            }
            _ => None,
        };
        let member = projected(
            previous,
            snapshot.room_id.clone(),
            (event, since),
            user,
            stripped_state,
            (snapshot.no, membership),
        );
        self.members.insert(member.user.clone(), member.clone());
        Ok(member)
    }

    pub(super) fn write_event(
        &mut self,
        event: &Arc<TimelineEvent>,
        txn: Option<ClientTransaction>,
        Implied { member, delta }: Implied,
        was_aside: bool,
    ) {
        let room = self.head.snapshot.no;
        let entry = LogEntry::Event {
            room,
            pos: event.pos,
            txn,
            member: member.as_ref().map(|member| member.user.clone()),
            shares: delta.is_some(),
            told: self.way == Way::Sent
                && event.pdu.sender().server_name() == self.rooms.server_name(),
        };
        let attachment = Attachment::Event {
            event: Arc::clone(event),
            snapshot: Arc::new(self.head.snapshot.clone()),
            member: member.clone().map(Arc::new),
            delta: delta.clone().map(Arc::new),
        };
        let at = self.plan.log_with(entry, Arc::new(attachment));
        self.plan
            .create_stamped(&event_row(room, event, &self.head.snapshot.extremities), at);
        let pointer = EventPointer {
            event_id: event.pdu.event_id().to_owned(),
            room,
            pos: event.pos,
            was_aside,
        };
        if was_aside {
            self.plan.put(&pointer);
        } else {
            self.plan.create(&pointer);
        }
        if let Some(member) = member {
            self.plan.put_stamped(&member, at);
        }
        if let Some(delta) = delta {
            self.plan.put_stamped(&delta, at);
        }
    }

    /// Notes in the head that what follows depends on this draft's commit.
    pub(super) fn take_off(&mut self) -> Landing {
        let (landing, outcome) = in_flight::new();
        self.head.outcome = outcome;
        landing
    }

    /// Hands the plan to the log writer, moves the room's head on and waits for the commit.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the head was not the room's: reload it and build again.
    pub(super) async fn commit(self, mut turn: Turn, landing: Landing) -> Result<(), StoreError> {
        let waits_for_members = self.changes_members();
        let epoch = self.head.epoch;
        let commit = self.rooms.store().submit(self.plan);
        *turn = Some(self.head);
        if waits_for_members {
            let outcome = commit.await;
            if outcome.is_err() {
                *turn = None;
            }
            landing.send_replace(Some(outcome.is_ok()));
            return outcome.map(|_| ());
        }
        let queue = Arc::clone(OwnedMutexGuard::mutex(&turn));
        drop(turn);
        let outcome = commit.await;
        if outcome.is_err() {
            let mut head = queue.lock().await;
            if head.as_ref().is_some_and(|head| head.epoch == epoch) {
                *head = None;
            }
        }
        landing.send_replace(Some(outcome.is_ok()));
        outcome.map(|_| ())
    }
}

pub(super) fn event_row(
    room: RoomNo,
    event: &TimelineEvent,
    extremities: &[OwnedEventId],
) -> EventRow {
    let pdu = &event.pdu;
    EventRow {
        room,
        pos: event.pos,
        at: Position::default(),
        event_id: pdu.event_id().to_owned(),
        kind: pdu.kind().to_string(),
        state_key: pdu.state_key().map(str::to_owned),
        sender: pdu.sender().to_owned(),
        ts: i64::try_from(u64::from(pdu.origin_server_ts().get())).unwrap_or(i64::MAX),
        rejected: event.rejected,
        soft_failed: event.soft_failed,
        redacted_by: event.redacted_by,
        group: event.group,
        head_group: event.head_group,
        replaces: event.replaces,
        delta: event.delta.clone(),
        extremities: extremities.to_vec(),
        past: event.past.clone(),
        seam: event.seam,
        json: pdu.json().to_string(),
    }
}

/// The membership record that follows `previous` with a member event.
fn projected(
    previous: Option<Member>,
    room_id: OwnedRoomId,
    (event, place): (&TimelineEvent, i64),
    user: OwnedUserId,
    stripped_state: Option<String>,
    (room, membership): (RoomNo, MembershipState),
) -> Member {
    let changed = previous
        .as_ref()
        .is_none_or(|previous| previous.membership != membership);
    let since = match &previous {
        Some(previous) if !changed => previous.since,
        _ => Position::default(),
    };
    let mut spans = previous.map(|previous| previous.spans).unwrap_or_default();
    if changed {
        spans.push((place, membership.clone()));
        if spans.len() > Member::MAX_SPANS {
            spans.remove(0);
        }
    }
    Member {
        user,
        room,
        room_id,
        membership,
        event_id: event.pdu.event_id().to_owned(),
        sender: event.pdu.sender().to_owned(),
        pos: event.pos,
        at: Position::default(),
        since,
        spans,
        forgotten: false,
        stripped_state,
    }
}
