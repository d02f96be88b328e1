//! One request at one moment: who asks, since when, until when.

use std::{sync::Arc, time::Duration};

use matryx_entity::{
    position::Position,
    room_snapshot::RoomSnapshot,
    timeline::TimelineEvent,
    token::{EphemeralCursor, SyncToken},
};
use matryx_surrealdb::StoreError;
use ruma::{MilliSecondsSinceUnixEpoch, api::client::filter::FilterDefinition};

use crate::sync::{
    engine::{Inner, SyncEngine},
    error::SyncError,
    inbox::{DeviceName, Inbox},
    index::Change,
    request::SyncRequest,
    user_view::UserView,
};

/// The changes since the client's token; `None` if they are no longer remembered.
pub(super) type Changes = Option<Vec<(Position, Change)>>;

/// How long a request waits for a commit that its user's records are already from.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// A request at a moment. `now` covers nothing that `user` does not reflect, and the other way
/// round.
pub(super) struct View<'a> {
    pub(super) engine: &'a SyncEngine,
    pub(super) request: &'a SyncRequest,
    pub(super) since: Option<&'a SyncToken>,
    pub(super) now: SyncToken,
    pub(super) user: Arc<UserView>,
    /// The messages for the device that asks, if one does.
    pub(super) inbox: Option<Arc<Inbox>>,
    pub(super) clock: MilliSecondsSinceUnixEpoch,
    serial: u64,
}

impl<'a> View<'a> {
    /// Captures position, user view and changes of the same moment.
    pub(super) async fn capture(
        engine: &'a SyncEngine,
        request: &'a SyncRequest,
        since: Option<&'a SyncToken>,
    ) -> Result<(Self, Changes), SyncError> {
        let inner = &engine.inner;
        let device = request.device();
        let captured = async {
            loop {
                let progress = inner.progress.notified();
                // Read first: what changes later gets a higher serial and wakes the waiter.
                let serial = inner.serials.newest();
                let (now, changes, cached) = capture_index(inner, request, since, device.as_ref());
                let user = match cached.user {
                    Some(user) => user,
                    None => engine.user(&request.user_id).await?,
                };
                let inbox = match (cached.inbox, &device) {
                    (None, Some(device)) => Some(engine.inbox(device).await?),
                    (cached, _) => cached,
                };
                // A view that was read from the database may be ahead of what was applied.
                if user.newest.positions().all(|at| now.covers(at)) {
                    let view = Self {
                        engine,
                        request,
                        since,
                        now,
                        user,
                        inbox,
                        clock: inner.clock.now(),
                        serial,
                    };
                    return Ok((view, changes));
                }
                progress.await;
            }
        };
        match tokio::time::timeout(PATIENCE, captured).await {
            Ok(captured) => captured,
            Err(_elapsed) => Err(SyncError::Store(StoreError::Unavailable {
                reason: "the sync engine is behind the database".into(),
            })),
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.engine.inner
    }

    pub(super) fn filter(&self) -> &FilterDefinition {
        &self.request.filter
    }

    /// The token for the next request.
    pub(super) fn token(&self) -> SyncToken {
        let mut token = self.now.clone();
        // A client that comes from another process may know what this one has not applied yet.
        if let Some(since) = self.since {
            token.merge(since);
        }
        token.with_ephemeral(EphemeralCursor {
            epoch: self.inner().typing.epoch(),
            counter: self.serial,
        })
    }

    /// Is `at` in the window (since, now]?
    pub(super) fn is_new(&self, at: Position) -> bool {
        self.now.covers(at) && self.since.is_none_or(|since| !since.covers(at))
    }

    /// Up to which serial the client knows what is not logged.
    pub(super) fn ephemeral_since(&self) -> u64 {
        let epoch = self.inner().typing.epoch();
        self.since
            .map(SyncToken::ephemeral)
            .filter(|cursor| cursor.epoch == epoch)
            .map_or(0, |cursor| cursor.counter)
    }

    /// A room that one of the user's records names.
    pub(super) async fn room(
        &self,
        no: matryx_entity::room_no::RoomNo,
    ) -> Result<Arc<RoomSnapshot>, SyncError> {
        let room = self.engine.room(no).await?;
        room.ok_or(SyncError::Inconsistent {
            room: no.0,
            what: "a membership record names it but it does not exist",
        })
    }

    /// Is the sender of a message somebody whom the user ignores? State is never ignored.
    pub(super) fn ignores(&self, event: &TimelineEvent) -> bool {
        event.pdu.state_key().is_none() && self.user.ignored.contains(event.pdu.sender())
    }
}

/// What the caches hold at the moment of the index.
struct Cached {
    user: Option<Arc<UserView>>,
    inbox: Option<Arc<Inbox>>,
}

fn capture_index(
    inner: &Inner,
    request: &SyncRequest,
    since: Option<&SyncToken>,
    device: Option<&DeviceName>,
) -> (SyncToken, Changes, Cached) {
    let index = inner.index.read();
    let now = index.applied().clone();
    let changes = since.and_then(|since| index.changes_after(since));
    let cached = Cached {
        user: inner.users.get(&request.user_id),
        inbox: device.and_then(|device| inner.inboxes.get(device)),
    };
    (now, changes, cached)
}
