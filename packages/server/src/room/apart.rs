//! Events that do not simply follow the newest one: from servers that saw another state of the
//! room, soft-failed ones, and those that lie aside.

use std::{collections::HashMap, sync::Arc};

use matryx_client::sync::Attachment;
use matryx_entity::{
    event::{EventPointer, StateChange, aside_place, is_aside},
    key,
    log::LogEntry,
    member::Member,
    member_delta::MemberDelta,
    pdu::Pdu,
    resolve::StateSet,
    room_snapshot::SlotChange,
    state::{StateGroup, StateRow},
    stretch::{Seam, Stretch},
    timeline::TimelineEvent,
};
use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{
    RoomError,
    incoming::Way,
    pipeline::{Draft, Implied, event_row},
    queue::GroupChain,
    states::{Difference, StoredState},
};

/// Where an event stands that was not built on the newest state of the room.
#[derive(Debug)]
pub(super) struct Standing {
    /// The state before it.
    pub(super) before: StateSet,
    /// A stored state that is near that: the state after the event is written as a difference.
    pub(super) near: Option<StoredState>,
    /// It is not allowed by the current state.
    pub(super) soft_failed: bool,
    /// It was learnt of before, without a place in the timeline.
    pub(super) was_aside: bool,
    /// What came right before it is not all here. If this server enters with it, what was there
    /// before is not on a par with it.
    pub(super) seam: Option<Seam>,
}

/// A group that was written, or one that says the same already.
pub(super) struct Group {
    number: i64,
    chain: GroupChain,
}

impl Group {
    /// The state that was stored under it.
    pub(super) fn stored(self, set: StateSet) -> StoredState {
        StoredState {
            group: self.number,
            chain: self.chain,
            set,
        }
    }
}

/// A slot of the current state that changes hands.
struct Held {
    kind: StateEventType,
    state_key: String,
    holder: Holder,
}

/// Who holds a slot then.
enum Holder {
    /// The event that is being added.
    Own(OwnedEventId),
    /// An event that was here before.
    Other(Arc<TimelineEvent>),
    /// Nobody.
    Nothing,
}

impl Held {
    fn is_own(&self, event_id: &EventId) -> bool {
        matches!(&self.holder, Holder::Own(own) if own == event_id)
    }

    /// As it is stored with the event at `pos` that caused it.
    fn change(&self, pos: i64) -> StateChange {
        StateChange {
            kind: self.kind.to_string(),
            state_key: self.state_key.clone(),
            pos: match &self.holder {
                Holder::Own(_) => Some(pos),
                Holder::Other(event) => Some(event.pos),
                Holder::Nothing => None,
            },
        }
    }

    fn become_of(self, own: &Arc<TimelineEvent>) -> SlotChange {
        SlotChange {
            kind: self.kind,
            state_key: self.state_key,
            event: match self.holder {
                Holder::Own(_) => Some(Arc::clone(own)),
                Holder::Other(event) => Some(event),
                Holder::Nothing => None,
            },
        }
    }
}

impl Draft<'_> {
    /// Adds an event that is allowed at its place. The state that it changes is the one that the
    /// room's forward extremities resolve to afterwards.
    pub(super) async fn append_apart(
        &mut self,
        pdu: Arc<Pdu>,
        standing: Standing,
    ) -> Result<Arc<TimelineEvent>, RoomError> {
        let enters = standing.seam == Some(Seam::Entry);
        if enters {
            // The server that let us in tells the others.
            self.way = Way::Sent;
        }
        let pos = self.head.snapshot.head + 1;
        let event_id = pdu.event_id().to_owned();
        let own_slot = pdu.state_kind().zip(pdu.state_key().map(str::to_owned));
        let mut after = standing.before;
        if let Some(slot) = own_slot.clone() {
            after.insert(slot, event_id.clone());
        }
        let group = self.write_group(2 * pos, &after, standing.near.as_ref());
        let extremities = if enters {
            vec![event_id.clone()]
        } else {
            self.extremities_after(&pdu, standing.soft_failed)
        };
        let (head_group, difference) = if standing.soft_failed {
            (Some(self.head.snapshot.group), Difference::default())
        } else {
            self.move_on(&pdu, &after, &group, &extremities).await?
        };
        let redacted = if standing.soft_failed {
            None
        } else {
            self.redact_target(&pdu, pos).await?
        };

        let held = self.holders(&event_id, &difference).await?;
        let takes_slot = held.iter().any(|slot| slot.is_own(&event_id));
        let replaces = own_slot
            .as_ref()
            .filter(|_| takes_slot)
            .and_then(|(kind, key)| self.head.snapshot.get(kind, key))
            .map(|event| event.pos);
        let mut event = TimelineEvent::new(pdu, pos, group.number, replaces);
        event.soft_failed = standing.soft_failed;
        event.seam = standing.seam;
        self.redact_late(&mut event).await?;
        event.head_group = head_group.filter(|head_group| *head_group != group.number);
        let delta: Vec<StateChange> = held.iter().map(|slot| slot.change(pos)).collect();
        let is_plain = match delta.as_slice() {
            [] => own_slot.is_none() || standing.soft_failed,
            [only] => only.pos == Some(pos),
            _ => false,
        };
        event.delta = (!is_plain).then_some(delta);
        let event = Arc::new(event);
        let changes: Vec<SlotChange> = held
            .into_iter()
            .map(|slot| slot.become_of(&event))
            .collect();
        let members = self.change_state(&changes, pos);
        let delta = MemberDelta::of(&self.head.snapshot, &changes, pos);
        self.head
            .snapshot
            .apply(&event, extremities, changes, self.rooms.server_name());
        let member = self.project_all(members, &event).await?;
        let implied = Implied { member, delta };
        let txn = self.way.txn();
        self.write_event(&event, txn, implied, standing.was_aside);
        if let Some(redacted) = redacted {
            self.write_redacted(redacted);
        }
        Ok(event)
    }

    /// The slots that change, with what holds them then. At most one query.
    async fn holders(
        &self,
        own: &EventId,
        difference: &Difference,
    ) -> Result<Vec<Held>, RoomError> {
        let others = difference.set.iter().filter(|(_, _, id)| id != own);
        let others: Vec<OwnedEventId> = others.map(|(_, _, id)| id.clone()).collect();
        let snapshot = &self.head.snapshot;
        let events = self.rooms.events_by_id(snapshot, &others).await?;
        let events: HashMap<_, _> = events
            .into_iter()
            .map(|event| (event.pdu.event_id().to_owned(), event))
            .collect();
        let set = difference.set.iter().map(|(kind, state_key, id)| {
            let holder = if id == own {
                Holder::Own(id.clone())
            } else {
                let event = events.get(id).cloned();
                Holder::Other(event.ok_or(RoomError::Damaged("an event of the state is missing"))?)
            };
            Ok(Held {
                kind: kind.clone(),
                state_key: state_key.clone(),
                holder,
            })
        });
        let unset = difference.unset.iter().map(|(kind, state_key)| {
            Ok(Held {
                kind: kind.clone(),
                state_key: state_key.clone(),
                holder: Holder::Nothing,
            })
        });
        set.chain(unset).collect()
    }

    /// The forward extremities after an event: what it refers to is none any more.
    fn extremities_after(&self, pdu: &Pdu, soft_failed: bool) -> Vec<OwnedEventId> {
        let mut extremities = self.head.snapshot.extremities.clone();
        if !soft_failed {
            extremities.retain(|id| !pdu.prev_events().contains(id));
            extremities.push(pdu.event_id().to_owned());
        }
        extremities
    }

    /// The state of the room once an event is among its forward extremities: the group that
    /// holds it, and what changes.
    async fn move_on(
        &mut self,
        pdu: &Arc<Pdu>,
        after: &StateSet,
        group: &Group,
        extremities: &[OwnedEventId],
    ) -> Result<(Option<i64>, Difference), RoomError> {
        let snapshot = &self.head.snapshot;
        let others: Vec<OwnedEventId> = extremities
            .iter()
            .filter(|id| *id != pdu.event_id())
            .cloned()
            .collect();
        let mut states = vec![after.clone()];
        for other in self.rooms.events_by_id(snapshot, &others).await? {
            let stored = self.rooms.stored_state(snapshot.no, other.group).await?;
            states.push(stored.set);
        }
        let current = self.rooms.resolve(snapshot, &states, Some(pdu)).await?;
        let difference = Difference::to_room(snapshot, &current);
        if difference.is_empty() {
            return Ok((Some(snapshot.group), difference));
        }
        if current == *after {
            self.head.chain = Some(group.chain);
            return Ok((None, difference));
        }
        let near = StoredState {
            group: group.number,
            chain: group.chain,
            set: after.clone(),
        };
        let resolved = self.write_group(2 * (snapshot.head + 1) + 1, &current, Some(&near));
        self.head.chain = Some(resolved.chain);
        Ok((Some(resolved.number), difference))
    }

    /// Stores a state under a number, unless the one that it is near is the same.
    pub(super) fn write_group(
        &mut self,
        number: i64,
        set: &StateSet,
        near: Option<&StoredState>,
    ) -> Group {
        let room = self.head.snapshot.no;
        let near = near
            .map(|near| (near, Difference::between(&near.set, set)))
            .filter(|(near, difference)| {
                // What a chain is read by is one range, in which all of it lies.
                difference.is_empty()
                    || near.chain.length < StateGroup::longest_chain(set.len())
                        && near.group < number
                        && is_one_range(near.chain.base, number)
            });
        let (prev, chain, difference) = match near {
            Some((near, difference)) if difference.is_empty() => {
                return Group {
                    number: near.group,
                    chain: near.chain,
                };
            }
            Some((near, difference)) => {
                let chain = GroupChain {
                    base: near.chain.base,
                    length: near.chain.length + 1,
                };
                (Some(near.group), chain, difference)
            }
            None => {
                let chain = GroupChain {
                    base: number,
                    length: 0,
                };
                (None, chain, Difference::between(&StateSet::new(), set))
            }
        };
        self.plan.create(&StateGroup {
            room,
            group: number,
            prev,
            base: chain.base,
            length: chain.length,
            set: difference
                .set
                .into_iter()
                .map(|(kind, key, event_id)| (kind.to_string(), key, event_id))
                .collect(),
            unset: difference
                .unset
                .into_iter()
                .map(|(kind, key)| (kind.to_string(), key))
                .collect(),
        });
        Group { number, chain }
    }

    /// Writes the current state; the member slots that changed.
    fn change_state(
        &mut self,
        changes: &[SlotChange],
        since: i64,
    ) -> Vec<(String, Option<Arc<TimelineEvent>>)> {
        let room = self.head.snapshot.no;
        let mut members = Vec::new();
        for change in changes {
            let (kind, state_key) = (change.kind.to_string(), change.state_key.clone());
            if let Some(event) = &change.event {
                self.plan.put(&StateRow {
                    room,
                    kind,
                    state_key,
                    event_id: event.pdu.event_id().to_owned(),
                    pos: event.pos,
                    since,
                });
            } else {
                let key = key![room, kind.as_str(), state_key.as_str()];
                self.plan.delete::<StateRow>(&key);
            }
            if change.kind == StateEventType::RoomMember {
                members.push((change.state_key.clone(), change.event.clone()));
            }
        }
        members
    }

    /// Writes the membership records of this server's users, but for the one that the event itself
    /// changes: that is written with it.
    async fn project_all(
        &mut self,
        members: Vec<(String, Option<Arc<TimelineEvent>>)>,
        cause: &Arc<TimelineEvent>,
    ) -> Result<Option<Member>, RoomError> {
        let mut own = None;
        for (state_key, holder) in members {
            let Some(user) = self.local_user(&state_key) else {
                continue;
            };
            let member = if let Some(event) = &holder {
                self.project(user, event, cause.pos).await?
            } else {
                let place = key![user.as_str(), self.head.snapshot.no];
                let Some(mut member) = self.rooms.store().get::<Member>(&place).await? else {
                    continue;
                };
                member.membership = MembershipState::Leave;
                member.spans.push((cause.pos, MembershipState::Leave));
                member
            };
            if holder.is_some_and(|event| Arc::ptr_eq(&event, cause)) {
                own = Some(member);
                continue;
            }
            let entry = LogEntry::Member {
                user: member.user.clone(),
                room: member.room,
            };
            let attachment = Attachment::Member(Arc::new(member.clone()));
            let at = self.plan.log_with(entry, Arc::new(attachment));
            self.plan.put_stamped(&member, at);
        }
        Ok(own)
    }

    /// Keeps an event that its room's rules do not allow where it stands, and the state there: what
    /// refers to it stands on the same.
    pub(super) fn reject(&mut self, pdu: Arc<Pdu>, before: &StateSet, near: Option<&StoredState>) {
        let number = 2 * aside_place(pdu.event_id());
        let near = near.filter(|near| near.set == *before);
        let group = self.write_group(number, before, near);
        self.put_aside(pdu, true, group.number);
    }

    /// Keeps an event that has no place in the timeline. `group` is the state group after it,
    /// where that is known.
    pub(super) fn put_aside(&mut self, pdu: Arc<Pdu>, rejected: bool, group: i64) {
        let pos = aside_place(pdu.event_id());
        let mut event = TimelineEvent::new(pdu, pos, group, None);
        event.rejected = rejected;
        let room = self.head.snapshot.no;
        self.plan.put(&event_row(room, &event, &[]));
        self.plan.put(&EventPointer {
            event_id: event.pdu.event_id().to_owned(),
            room,
            pos,
            was_aside: false,
        });
    }
}

/// Do the state groups of two numbers belong to places of the same stretch, with no other between
/// them?
fn is_one_range(base: i64, number: i64) -> bool {
    let (base, place) = (base.div_euclid(2), number.div_euclid(2));
    !is_aside(base) && Stretch::of(base) == Stretch::of(place)
}
