//! What every request shares: configuration, clock and the domain's services.
//!
//! Only the HTTP edge holds an [`App`]; services are given what they need when they are made.

use std::{ops::Deref, sync::Arc};

use matryx_client::{federation::Federation, sync::SyncEngine};
use matryx_entity::clock::Clock;
use matryx_surrealdb::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::layer::RequestIds,
    appservice::Appservices,
    caller::Identities,
    config::Config,
    data_dir::DataDir,
    dehydrated_device::DehydratedDevices,
    e2ee::{E2ee, remote::RemoteLists},
    federation::{inbound::Inbound, sender::Sender, transactions::Transactions},
    key::KeyRing,
    key_backup::KeyBackups,
    presence::Presences,
    rate_limit::RateLimits,
    room::{Rooms, acl::ServerAcls},
    telemetry::Telemetry,
    to_device::ToDevice,
    user::Users,
};

/// A handle to everything that requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Services>);

/// What [`App`] gives access to.
pub struct Services {
    /// The configuration.
    pub config: Arc<Config>,
    /// The database, for the health check; domain services hold their own handle.
    pub store: Store,
    /// The caches and the waiting `/sync` requests.
    pub sync: SyncEngine,
    /// The room domain.
    pub rooms: Rooms,
    /// The account domain.
    pub users: Users,
    /// Devices that lie on the server.
    pub dehydrated_devices: DehydratedDevices,
    /// Backups of room keys.
    pub key_backups: KeyBackups,
    /// Who is there.
    pub presences: Presences,
    /// Messages to devices.
    pub to_device: ToDevice,
    /// The keys of users and devices.
    pub e2ee: E2ee,
    /// The way to other homeservers.
    pub federation: Federation,
    /// What other homeservers sent lately.
    pub transactions: Transactions,
    /// Sends to other homeservers what is for them.
    pub sender: Sender,
    /// The device lists of other homeservers' users.
    pub device_lists: RemoteLists,
    /// The signing keys of all servers.
    pub key_ring: KeyRing,
    /// Which servers rooms keep out.
    pub acls: Arc<ServerAcls>,
    /// What other servers send.
    pub inbound: Inbound,
    /// The data folder, locked for as long as the server lives.
    pub data_dir: DataDir,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The registered application services.
    pub appservices: Appservices,
    /// Access tokens, accounts and devices, as far as a caller's proof needs them.
    pub tokens: Arc<dyn Identities>,
    /// How often somebody may do something.
    pub rate_limits: RateLimits,
    /// Makes ids for requests.
    pub request_ids: RequestIds,
    /// Renders the process's metrics, if they are collected.
    pub metrics: Option<Telemetry>,
    /// Tasks that must end before the process does.
    pub tasks: TaskTracker,
    /// Fires when the server is told to stop; long polls answer then.
    pub shutdown: CancellationToken,
}

impl App {
    /// Shares these services.
    pub fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
