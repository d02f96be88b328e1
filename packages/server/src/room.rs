//! Rooms: every change is an event that passes one pipeline, room by room.
//!
//! [`Rooms`] is the domain's entrance. Writes of one room go through its [`queue`], which owns the
//! newest state, so that an event is built on the last one without reading; [`pipeline`] turns
//! events into one plan; the files beside them hold what each act means. Reads go to the sync
//! engine's snapshots and, past what those hold, to exact ranges of the database.

use std::{future::Future, sync::Arc};

use matryx_client::{federation::Federation, sync::SyncEngine};
use matryx_entity::{
    build::EventSigner, clock::Clock, room_no::RoomNo, room_snapshot::RoomSnapshot,
};
use matryx_surrealdb::Store;
use ruma::{OwnedServerName, RoomId, RoomVersionId, ServerName, UserId};
use tokio_util::task::TaskTracker;

pub mod acl;
mod alias;
mod ancestry;
mod apart;
mod aside;
mod auth_chain;
mod canonical_alias;
mod context;
mod create;
mod decision;
mod directory;
mod directory_token;
mod error;
mod find;
mod handshake;
mod heard;
mod history;
mod in_flight;
mod incoming;
mod invite;
mod join;
mod leave;
mod listing;
mod member_content;
mod members;
mod merge;
mod messages;
mod moderation;
mod pipeline;
mod place;
mod policy;
mod power_levels;
mod profile;
mod queue;
mod reader;
mod receipt;
mod redaction;
mod remote;
mod resident;
mod send;
mod serving;
mod state_at;
mod state_read;
mod states;
mod steps;
mod timeline;
mod timestamp;
mod told;
mod typing;
mod view;
mod visible;
mod walk;

pub use self::{
    alias::AliasTarget,
    ancestry::Gap,
    context::Context,
    create::CreateRoom,
    directory::{DirectoryPage, DirectoryRequest},
    error::RoomError,
    history::Bottom,
    incoming::{Judged, NotJudged},
    members::{MembersRequest, RoomProfile},
    messages::{Page, PageRequest},
    moderation::Sanction,
    place::Historic,
    receipt::ReadMark,
    remote::{BoundInvite, ReceivedInvite, Refusal, prejoin_state},
    resident::{MembershipTemplate, RoomBefore, servers_in},
    send::Sent,
    serving::check_is_in,
    state_read::StateForm,
};
use self::{
    directory::Listings, history::Histories, in_flight::InFlight, policy::Answers, queue::Queues,
    receipt::ReadTurns, remote::Entrances,
};
use crate::key::KeyRing;

/// The room domain. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

/// What the domain needs of the rest of the server.
pub struct RoomDependencies {
    /// The database.
    pub store: Store,
    /// The caches.
    pub sync: SyncEngine,
    /// The server's name and signing key.
    pub signer: Arc<EventSigner>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The version of rooms whose creator does not choose one.
    pub default_version: RoomVersionId,
    /// The way to other homeservers.
    pub federation: Federation,
    /// The signing keys of all servers.
    pub key_ring: KeyRing,
    /// Runs what must not stop when the caller goes away.
    pub tasks: TaskTracker,
}

struct Inner {
    deps: RoomDependencies,
    server_name: OwnedServerName,
    queues: Queues,
    in_flight: InFlight,
    listings: Arc<Listings>,
    read_turns: ReadTurns,
    entrances: Entrances,
    histories: Histories,
    answers: Answers,
}

impl Rooms {
    /// The domain over a store and its caches.
    pub fn new(deps: RoomDependencies) -> Self {
        let server_name = deps.signer.server_name().to_owned();
        let listings = Listings::follow(&deps.sync);
        Self {
            inner: Arc::new(Inner {
                deps,
                server_name,
                queues: Queues::default(),
                in_flight: InFlight::default(),
                listings,
                read_turns: ReadTurns::default(),
                entrances: Entrances::default(),
                histories: Histories::default(),
                answers: Answers::default(),
            }),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.deps.store
    }

    pub(crate) fn sync(&self) -> &SyncEngine {
        &self.inner.deps.sync
    }

    pub(crate) fn server_name(&self) -> &ServerName {
        &self.inner.server_name
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.deps.clock
    }

    /// The room as it is now.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`] when this server does not know it.
    pub async fn snapshot(&self, room_id: &RoomId) -> Result<Arc<RoomSnapshot>, RoomError> {
        self.sync()
            .room_by_id(room_id)
            .await?
            .ok_or_else(|| RoomError::UnknownRoom(room_id.to_owned()))
    }

    async fn room_no(&self, room_id: &RoomId) -> Result<RoomNo, RoomError> {
        self.sync()
            .room_no(room_id)
            .await?
            .ok_or_else(|| RoomError::UnknownRoom(room_id.to_owned()))
    }

    fn is_ours(&self, user: &UserId) -> bool {
        user.server_name() == self.server_name()
    }

    /// Runs a change to its end even if the caller goes away in the middle: a client that
    /// disconnects must not leave a room's queue behind half-way.
    async fn to_the_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, RoomError>> + Send + 'static,
    ) -> Result<T, RoomError> {
        self.inner
            .deps
            .tasks
            .spawn(change)
            .await
            .unwrap_or(Err(RoomError::ShuttingDown))
    }
}
