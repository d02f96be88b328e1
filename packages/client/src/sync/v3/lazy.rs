//! Lazy-loaded members: which ones a response needs, and which ones the client has.
//!
//! What was sent counts only once the client shows, by its next token, that it got the response:
//! a response that was lost on the way is sent again in full.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members)

use std::{collections::BTreeSet, sync::Arc};

use imbl::HashMap;
use matryx_entity::{room_no::RoomNo, timeline::TimelineEvent, token::SyncToken};
use ruma::{
    EventId, OwnedDeviceId, OwnedEventId, OwnedUserId, UserId,
    api::client::filter::LazyLoadOptions, events::TimelineEventType,
};

use super::{timeline::Found, view::View};
use crate::sync::cache::Weigh;

/// How many members one device is known to have; beyond that they are sent again.
const MAX_KNOWN: usize = 20_000;

type Known = HashMap<(RoomNo, OwnedUserId), OwnedEventId>;

/// What one device has been sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    known: Known,
    /// Sent in the response with this token, which the client has not shown yet.
    pending: Option<(SyncToken, Vec<Sent>)>,
}

type Sent = ((RoomNo, OwnedUserId), OwnedEventId);

impl Weigh for Connection {
    fn weigh(&self) -> u64 {
        let pending = self.pending.as_ref().map_or(0, |(_, sent)| sent.len());
        (256 + (self.known.len() + pending) * 200) as u64
    }
}

/// The members of one response.
pub(super) enum LazyMembers {
    /// All members are sent.
    Off,
    /// Only those that are needed; again in each response.
    Redundant,
    /// Only those that are needed and that the device does not have.
    Tracked {
        device: (OwnedUserId, OwnedDeviceId),
        known: Known,
        changed: bool,
        sent: Vec<Sent>,
    },
}

impl LazyMembers {
    pub(super) fn begin(view: &View<'_>) -> Self {
        match (view.request.lazy_load(), &view.request.device_id) {
            (LazyLoadOptions::Disabled, _) => Self::Off,
            (
                LazyLoadOptions::Enabled {
                    include_redundant_members: false,
                },
                Some(device),
            ) => {
                let device = (view.request.user_id.clone(), device.clone());
                let connection = view
                    .since
                    .and_then(|_| view.inner().connections.get(&device));
                let connection = connection.as_deref().cloned().unwrap_or_default();
                let (known, changed) = connection.confirmed_by(view.since);
                Self::Tracked {
                    device,
                    known,
                    changed,
                    sent: Vec::new(),
                }
            }
            _ => Self::Redundant,
        }
    }

    /// The members that a room's response needs; `None` for all.
    pub(super) fn needed(
        &self,
        view: &View<'_>,
        found: &Found,
        heroes: &[OwnedUserId],
    ) -> Option<BTreeSet<OwnedUserId>> {
        if matches!(self, Self::Off) {
            return None;
        }
        let senders = found
            .events
            .iter()
            .map(|event| event.pdu.sender().to_owned());
        let own = view.request.user_id.clone();
        Some(senders.chain(heroes.iter().cloned()).chain([own]).collect())
    }

    /// Does the device have some member event of this user?
    pub(super) fn knows(&self, room: RoomNo, user: &UserId) -> bool {
        match self {
            Self::Off | Self::Redundant => true,
            Self::Tracked { known, .. } => known.contains_key(&(room, user.to_owned())),
        }
    }

    /// Does the device have this very member event?
    pub(super) fn has_sent(&self, room: RoomNo, user: &UserId, event: &TimelineEvent) -> bool {
        match self {
            Self::Off | Self::Redundant => false,
            Self::Tracked { known, .. } => known
                .get(&(room, user.to_owned()))
                .is_some_and(|sent| sent == event.pdu.event_id()),
        }
    }

    /// Notes that an event goes out.
    pub(super) fn note(&mut self, room: RoomNo, event: &TimelineEvent) {
        let Self::Tracked { known, sent, .. } = self else {
            return;
        };
        if *event.pdu.kind() != TimelineEventType::RoomMember {
            return;
        }
        let Some(user) = event.pdu.state_key().and_then(|key| key.try_into().ok()) else {
            return;
        };
        let place = (room, user);
        let event_id: &EventId = event.pdu.event_id();
        if known.get(&place).is_none_or(|known| known != event_id) {
            sent.push((place, event_id.to_owned()));
        }
    }

    /// Keeps what was sent until the client shows that it has it.
    pub(super) fn finish(self, view: &View<'_>, next_batch: SyncToken) {
        let Self::Tracked {
            device,
            known,
            changed,
            sent,
        } = self
        else {
            return;
        };
        if sent.is_empty() && !changed {
            return;
        }
        let pending = (!sent.is_empty()).then_some((next_batch, sent));
        let connection = Arc::new(Connection { known, pending });
        let connections = &view.inner().connections;
        connections.publish(&device, connection, |_| false);
    }
}

impl Connection {
    /// What the device has, given the token that it came with; and whether that is news.
    fn confirmed_by(self, since: Option<&SyncToken>) -> (Known, bool) {
        let mut known = self.known;
        match self.pending {
            Some((token, sent)) if since == Some(&token) => {
                if known.len() + sent.len() > MAX_KNOWN {
                    known.clear();
                }
                known.extend(sent);
                (known, true)
            }
            _ => (known, false),
        }
    }
}
