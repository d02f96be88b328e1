//! A room at one moment, in memory: current state, member counts, extremities, recent timeline.
//!
//! Immutable and cheap to clone: the maps share structure, so the room's writer makes the next
//! snapshot from the last one while readers keep theirs. The same [`RoomSnapshot::apply`] runs in
//! the process that writes an event and in every process that follows the log.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId, ServerName, UserId,
    events::{
        StateEventType, room::history_visibility::HistoryVisibility, room::member::MembershipState,
    },
};
use serde::Deserialize;

use crate::{
    room_no::RoomNo,
    stretch::{FIRST_POS, Seam},
    timeline::TimelineEvent,
};

/// The slots of one event type.
pub type StateSlots = OrdMap<String, Arc<TimelineEvent>>;

/// A room at one moment.
#[derive(Clone, Debug)]
pub struct RoomSnapshot {
    /// The room's number.
    pub no: RoomNo,
    /// The room's id.
    pub room_id: OwnedRoomId,
    /// The room's version.
    pub version: RoomVersionId,
    /// The place of the newest event; zero before the first.
    pub head: i64,
    /// The place of the event with which this server came into the room the last time.
    pub entered: i64,
    /// The deepest `depth` among the forward extremities.
    pub depth: u64,
    /// Events that nothing refers to yet.
    pub extremities: Vec<OwnedEventId>,
    /// The state group of the current state.
    pub group: i64,
    /// Local users who are joined.
    pub local_joined: OrdSet<OwnedUserId>,
    /// The servers whose users are joined, each with the places of those users' member events.
    pub joined_servers: OrdMap<OwnedServerName, OrdSet<i64>>,
    /// How many users are joined.
    pub joined_count: u64,
    /// How many users are invited.
    pub invited_count: u64,
    /// The newest events, oldest first, without a gap, up to `head`. At most
    /// [`RoomSnapshot::MAX_RECENT`].
    pub recent: Vector<Arc<TimelineEvent>>,
    /// History visibility over time, oldest first: `(pos, visibility)` holds from the event at
    /// `pos` on.
    pub visibility: Vector<(i64, HistoryVisibility)>,
    /// The current state.
    state: OrdMap<StateEventType, StateSlots>,
}

impl RoomSnapshot {
    /// How many recent events a snapshot keeps.
    pub const MAX_RECENT: usize = 64;

    /// A room without events.
    pub fn empty(no: RoomNo, room_id: OwnedRoomId, version: RoomVersionId) -> Self {
        Self {
            no,
            room_id,
            version,
            head: 0,
            entered: FIRST_POS,
            depth: 0,
            extremities: Vec::new(),
            group: 0,
            local_joined: OrdSet::new(),
            joined_servers: OrdMap::new(),
            joined_count: 0,
            invited_count: 0,
            recent: Vector::new(),
            visibility: Vector::new(),
            state: OrdMap::new(),
        }
    }

    /// The event that holds a slot of the current state.
    pub fn get(&self, kind: &StateEventType, state_key: &str) -> Option<&Arc<TimelineEvent>> {
        self.state.get(kind)?.get(state_key)
    }

    /// All slots of one type, by state key.
    pub fn slots(
        &self,
        kind: &StateEventType,
    ) -> impl Iterator<Item = (&str, &Arc<TimelineEvent>)> {
        self.state
            .get(kind)
            .into_iter()
            .flatten()
            .map(|(key, event)| (key.as_str(), event))
    }

    /// All of the current state.
    pub fn state(&self) -> impl Iterator<Item = &Arc<TimelineEvent>> {
        self.state.values().flat_map(|slots| slots.values())
    }

    /// All slots, by type: for readers that want all of some types and few of others.
    pub fn slots_by_kind(&self) -> impl Iterator<Item = (&StateEventType, &StateSlots)> {
        self.state.iter()
    }

    /// How many slots the current state has.
    pub fn state_len(&self) -> usize {
        self.state.values().map(OrdMap::len).sum()
    }

    /// A user's membership now.
    pub fn membership(&self, user: &UserId) -> MembershipState {
        self.get(&StateEventType::RoomMember, user.as_str())
            .map_or(MembershipState::Leave, |event| membership_of(event))
    }

    /// Is the user joined now?
    pub fn is_joined(&self, user: &UserId) -> bool {
        self.membership(user) == MembershipState::Join
    }

    /// The history visibility that held right after the event at `pos`.
    pub fn visibility_at(&self, pos: i64) -> HistoryVisibility {
        self.visibility
            .iter()
            .rev()
            .find(|(from, _)| *from <= pos)
            .map_or(HistoryVisibility::Shared, |(_, visibility)| {
                visibility.clone()
            })
    }

    /// The recent events, if they reach back to `from` without a gap.
    pub fn recent_from(
        &self,
        from: i64,
    ) -> Option<impl DoubleEndedIterator<Item = &Arc<TimelineEvent>>> {
        let first = self.recent.front().map_or(self.head + 1, |event| event.pos);
        (first <= from).then(|| {
            let skip = usize::try_from(from - first)
                .unwrap_or(usize::MAX)
                .min(self.recent.len());
            self.recent.iter().skip(skip)
        })
    }

    /// The room after `event`, which must be the one at `head + 1`.
    ///
    /// `changes` are the slots that the event changed in the current state, each with the event
    /// that holds it now: for a plain state event that is the event itself.
    pub fn apply(
        &mut self,
        event: &Arc<TimelineEvent>,
        extremities: Vec<OwnedEventId>,
        changes: Vec<SlotChange>,
        local: &ServerName,
    ) {
        self.head = event.pos;
        if event.seam == Some(Seam::Entry) {
            self.entered = event.pos;
        }
        self.depth = self.depth.max(event.pdu.depth());
        self.extremities = extremities;
        self.group = event.head_group.unwrap_or(event.group);
        self.recent.push_back(Arc::clone(event));
        while self.recent.len() > Self::MAX_RECENT {
            self.recent.pop_front();
        }
        for change in changes {
            self.set_slot(change, event.pos, local);
        }
    }

    /// Puts one slot of the state in place while a snapshot is loaded, or when it changes.
    pub fn set_slot(&mut self, change: SlotChange, pos: i64, local: &ServerName) {
        let SlotChange {
            kind,
            state_key,
            event,
        } = change;
        if kind == StateEventType::RoomMember {
            self.count_member(&state_key, event.as_ref(), local);
        } else if kind == StateEventType::RoomHistoryVisibility && state_key.is_empty() {
            let visibility = event
                .as_ref()
                .map_or(HistoryVisibility::Shared, |event| visibility_of(event));
            self.visibility.push_back((pos, visibility));
        }
        match event {
            Some(event) => {
                self.state.entry(kind).or_default().insert(state_key, event);
            }
            None => {
                if let Some(slots) = self.state.get_mut(&kind) {
                    slots.remove(&state_key);
                }
            }
        }
    }

    /// Replaces the cached copies of an event whose content was redacted.
    pub fn replace_event(&mut self, event: &Arc<TimelineEvent>) {
        if let Some(cached) = self
            .recent
            .iter_mut()
            .find(|cached| cached.pdu.event_id() == event.pdu.event_id())
        {
            *cached = Arc::clone(event);
        }
        if let (Some(kind), Some(key)) = (event.pdu.state_kind(), event.pdu.state_key())
            && let Some(slots) = self.state.get_mut(&kind)
            && let Some(slot) = slots.get_mut(key)
            && slot.pdu.event_id() == event.pdu.event_id()
        {
            *slot = Arc::clone(event);
        }
    }

    fn count_member(
        &mut self,
        state_key: &str,
        event: Option<&Arc<TimelineEvent>>,
        local: &ServerName,
    ) {
        let held = self.get(&StateEventType::RoomMember, state_key).cloned();
        let before = held
            .as_ref()
            .map_or(MembershipState::Leave, |event| membership_of(event));
        let after = event.map_or(MembershipState::Leave, |event| membership_of(event));
        if let Ok(user) = <&UserId>::try_from(state_key) {
            let left = held.filter(|_| before == MembershipState::Join);
            let came = event.filter(|_| after == MembershipState::Join);
            self.count_server(
                user.server_name(),
                left.as_deref(),
                came.map(|event| &**event),
            );
        }
        match before {
            MembershipState::Join => self.joined_count = self.joined_count.saturating_sub(1),
            MembershipState::Invite => self.invited_count = self.invited_count.saturating_sub(1),
            _ => {}
        }
        match after {
            MembershipState::Join => self.joined_count += 1,
            MembershipState::Invite => self.invited_count += 1,
            _ => {}
        }
        if let Ok(user) = <&UserId>::try_from(state_key)
            && user.server_name() == local
        {
            if after == MembershipState::Join {
                self.local_joined.insert(user.to_owned());
            } else {
                self.local_joined.remove(user);
            }
        }
    }

    /// Notes that a member event of a server's user went and that another came.
    fn count_server(
        &mut self,
        server: &ServerName,
        left: Option<&TimelineEvent>,
        came: Option<&TimelineEvent>,
    ) {
        if left.is_none() && came.is_none() {
            return;
        }
        let places = self.joined_servers.entry(server.to_owned()).or_default();
        if let Some(left) = left {
            places.remove(&left.pos);
        }
        if let Some(came) = came {
            places.insert(came.pos);
        }
        if places.is_empty() {
            self.joined_servers.remove(server);
        }
    }
}

/// A slot of the current state and what holds it from now on.
#[derive(Clone, Debug)]
pub struct SlotChange {
    /// `type`.
    pub kind: StateEventType,
    /// `state_key`.
    pub state_key: String,
    /// The event that holds it; none empties the slot.
    pub event: Option<Arc<TimelineEvent>>,
}

/// The `membership` of an `m.room.member` event; `leave` when it has none that is valid.
pub fn membership_of(event: &TimelineEvent) -> MembershipState {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    event
        .pdu
        .content_as::<Content>()
        .map_or(MembershipState::Leave, |content| content.membership)
}

/// The `history_visibility` of an `m.room.history_visibility` event; `shared` when it has none that
/// is valid.
pub fn visibility_of(event: &TimelineEvent) -> HistoryVisibility {
    #[derive(Deserialize)]
    struct Content {
        history_visibility: HistoryVisibility,
    }
    event
        .pdu
        .content_as::<Content>()
        .map_or(HistoryVisibility::Shared, |content| {
            content.history_visibility
        })
}
