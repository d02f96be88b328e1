//! The device lists of other servers' users.
//!
//! A list is kept for as long as a room is shared with the user: that is when their server tells of
//! every change ([`update`]). A list that may have missed one is [`Stale`] and is asked for again
//! before it is used ([`resync`]); so is one whose user shared no room for a while, which nobody has
//! to notice at that moment ([`sharing`]). Nothing is kept of users with whom no room is shared.
//!
//! Nothing is believed of a server about users of another, and of no key that is not signed as it
//! should be ([`check`]).
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#device-management)
//!
//! [`Stale`]: matryx_entity::device_list::DeviceListState::Stale

mod check;
mod claim;
mod query;
mod rest;
mod resync;
mod sharing;
mod update;
mod worker;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
};

use matryx_client::{
    Flights,
    federation::{Federation, FederationError, ServerAuth},
    outbound::Limits,
    sync::{SyncEngine, SyncError},
};
use matryx_entity::{device_list::DeviceList, pdu::MalformedPdu};
use matryx_surrealdb::{Store, StoreError};
use parking_lot::Mutex;
use ruma::{
    OwnedServerName, OwnedUserId, ServerName, UserId,
    api::{OutgoingRequest, path_builder::SinglePath},
};
use tokio::{
    sync::{MutexGuard, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    claim::RemoteClaimed,
    query::{RemoteFailure, RemoteKeys, ToldKeys, Wanted},
    update::Attention,
};
use self::{
    query::{Question, Told},
    rest::Rests,
    resync::ResyncFailed,
    sharing::Sharing,
    worker::Waiting,
};
use crate::config::Retry;

/// The most lists that are asked for at once: of all servers, and of one.
const MAX_ASKED: usize = 256;
const MAX_ASKED_OF_ONE: usize = 8;

/// How many locks the users share. Two users rarely have the same one, and then only wait.
const LOCKS: usize = 256;

/// What the lists need of the rest of the server.
pub struct RemoteDependencies {
    /// The database.
    pub store: Store,
    /// The caches.
    pub sync: SyncEngine,
    /// The way to other servers.
    pub federation: Federation,
    /// How long a server that fails is left alone.
    pub retry: Retry,
    /// Runs what goes on when nobody waits for it.
    pub tasks: TaskTracker,
    /// Fires when the server stops.
    pub shutdown: CancellationToken,
}

/// The device lists of other servers' users. Cheap to clone.
#[derive(Clone)]
pub struct RemoteLists(Arc<Inner>);

struct Inner {
    deps: RemoteDependencies,
    sharing: Sharing,
    /// One lock for the lists of many users: who changes a list reads it before.
    locks: Vec<tokio::sync::Mutex<()>>,
    lock_hasher: RandomState,
    /// Lists that are being asked for.
    flights: Flights<OwnedUserId, Result<(), ResyncFailed>>,
    /// Servers that are being asked for keys that are not kept.
    questions: Flights<Question, Told>,
    /// What was heard of those lists meanwhile: the number of the newest change. A plain mutex, for
    /// look-ups only.
    heard: Mutex<HashMap<OwnedUserId, i64>>,
    /// Bounds requests, of all servers and of each.
    places: Semaphore,
    places_of_one: Mutex<HashMap<OwnedServerName, Weak<Semaphore>>>,
    /// Servers that could not be reached a moment ago.
    rests: Rests,
    /// Servers whose lists are asked for in the background. A plain mutex, for look-ups only.
    waiting: Mutex<HashMap<OwnedServerName, Waiting>>,
}

/// This server's own database or caches fail.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The database is away or damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A room or a user can't be read.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A stored event can't be read.
    #[error(transparent)]
    Malformed(#[from] MalformedPdu),
}

impl RemoteLists {
    /// Takes up, in the background, the lists that were to be asked for when the last process
    /// ended.
    pub fn start(deps: RemoteDependencies) -> Self {
        let lists = Self(Arc::new(Inner {
            sharing: Sharing::new(deps.store.clone(), deps.sync.clone()),
            deps,
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
            lock_hasher: RandomState::new(),
            flights: Flights::default(),
            questions: Flights::default(),
            heard: Mutex::default(),
            places: Semaphore::new(MAX_ASKED),
            places_of_one: Mutex::default(),
            rests: Rests::default(),
            waiting: Mutex::default(),
        }));
        lists.take_up();
        lists
    }

    async fn list(&self, user: &UserId) -> Result<Option<DeviceList>, StoreError> {
        self.0.deps.store.get(&DeviceList::key_of(user)).await
    }

    /// The lock of a user's list, for a change that reads before it writes.
    async fn lock(&self, user: &UserId) -> Option<MutexGuard<'_, ()>> {
        let hash = self.0.lock_hasher.hash_one(user.as_str());
        let index = usize::try_from(hash % LOCKS as u64).unwrap_or_default();
        match self.0.locks.get(index) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }

    /// Sends a request to a server, unless it could not be reached a moment ago. None if it can't be.
    async fn send<R>(
        &self,
        server: &ServerName,
        request: R,
        limits: Limits,
    ) -> Option<Result<R::IncomingResponse, FederationError>>
    where
        R: OutgoingRequest<EndpointError = ruma::api::error::Error, PathBuilder = SinglePath>
            + Send,
        R::Authentication: ServerAuth,
    {
        if self.0.rests.is_resting(server, Instant::now()) {
            return None;
        }
        let federation = &self.0.deps.federation;
        match federation.send_with(server, request, limits).await {
            Err(error @ FederationError::Unreachable { .. }) => {
                tracing::info!(%server, %error, "a server cannot be asked for keys");
                self.0.rests.note_failure(server, Instant::now());
                None
            }
            outcome => {
                self.0.rests.end(server);
                Some(outcome)
            }
        }
    }

    /// What bounds the requests to one server.
    fn places_of(&self, server: &ServerName) -> Arc<Semaphore> {
        let mut places = self.0.places_of_one.lock();
        if let Some(of_one) = places.get(server).and_then(Weak::upgrade) {
            return of_one;
        }
        places.retain(|_, of_one| of_one.strong_count() > 0);
        let of_one = Arc::new(Semaphore::new(MAX_ASKED_OF_ONE));
        places.insert(server.to_owned(), Arc::downgrade(&of_one));
        of_one
    }
}
