//! Starting: from a configuration to everything that requests share.

use std::{sync::Arc, time::Duration};

use matryx_client::{
    federation::{Federation, FederationOptions},
    outbound::{
        AddressGuard, Dns, HttpOptions, HttpOutbound, MemoryLimits, SystemDns, TrustError, Trusted,
    },
    sync::{PresenceOptions, SyncEngine, SyncError, SyncOptions},
};
use matryx_entity::{build::EventSigner, clock::Clock};
use matryx_surrealdb::{Store, StoreError};
use ruma::{OwnedServerName, api::appservice::Registration, signatures::Ed25519KeyPair};
use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{identity, user_rooms::AccountRooms};
use crate::{
    api::layer::RequestIds,
    app::{App, Services},
    appservice::{Appservices, RegistrationError},
    caller::TokenState,
    config::Config,
    data_dir::{DataDir, DataDirError},
    dehydrated_device::DehydratedDevices,
    e2ee::{
        E2ee, E2eeDependencies,
        remote::{RemoteDependencies, RemoteLists},
    },
    federation::{
        inbound::{Inbound, InboundDependencies},
        sender::{Sender, SenderDependencies},
        transactions::Transactions,
    },
    key::{KeyRing, KeyRingOptions, OwnKeys},
    key_backup::KeyBackups,
    presence::Presences,
    rate_limit::RateLimits,
    room::{RoomDependencies, RoomError, Rooms, acl::ServerAcls},
    signing_key::{SigningKey, SigningKeyError},
    telemetry::Telemetry,
    to_device::ToDevice,
    user::{UserDependencies, UserError, Users},
};

/// A server that could serve, but does not listen yet.
pub struct Started {
    /// What its requests will share.
    pub app: App,
    /// The token with which the first administrator registers, while there is none.
    pub first_admin_token: Option<String>,
}

/// Why the server can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data folder can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is no signing key.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// An application service's registration can't be used.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// An application service's token is a user's.
    #[error("the as_token of the application service {id} is a user's access token")]
    TokenTaken {
        /// The registration's id.
        id: String,
    },
    /// The database can't be opened.
    #[error("cannot open the database {url}")]
    Database {
        /// Where it is.
        url: String,
        /// Why.
        source: StoreError,
    },
    /// The database fails.
    #[error("cannot read the database")]
    Store(#[from] StoreError),
    /// The database belongs to a server of another name.
    #[error(
        "the database belongs to the server {found}, and this one is called {configured}; \
         a server's name can never change"
    )]
    ServerName {
        /// The name in the database.
        found: OwnedServerName,
        /// The name in the configuration.
        configured: OwnedServerName,
    },
    /// The database belongs to a server with another signing key.
    #[error(
        "the database belongs to a server with another signing key; put back the file \
         {file}, whose key has the fingerprint {found}"
    )]
    OtherKey {
        /// The key's file.
        file: String,
        /// The fingerprint in the database.
        found: String,
    },
    /// Outgoing TLS can't be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The caches can't be filled.
    #[error("cannot read the log of changes")]
    Sync(#[from] SyncError),
    /// Joins that were under way can't be taken up again.
    #[error("cannot read the joins that were under way")]
    Rooms(#[from] RoomError),
    /// The accounts can't be opened.
    #[error("cannot open the accounts")]
    Users(#[from] UserError),
}

/// How often the log of changes is trimmed.
const TRIM_INTERVAL: Duration = Duration::from_mins(5);

/// Opens the data folder, the database, the caches and the domain's services.
///
/// # Errors
/// When one of them can't be opened; what was opened before is closed again.
pub async fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
) -> Result<Started, StartError> {
    let foundation = Foundation::open(config)?;
    let store = open_store(&foundation.config).await?;
    build(foundation, store, clock, telemetry).await
}

/// The same over a database that is open already, which another process may share.
///
/// # Errors
/// As [`start`].
pub async fn start_on(
    store: Store,
    config: Config,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
) -> Result<Started, StartError> {
    let foundation = Foundation::open(config)?;
    build(foundation, store, clock, telemetry).await
}

/// What the database is opened after.
struct Foundation {
    config: Arc<Config>,
    data_dir: DataDir,
    key: SigningKey,
    appservices: Appservices,
}

impl Foundation {
    fn open(config: Config) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.data_dir)?;
        Ok(Self {
            key: SigningKey::load_or_generate(&data_dir)?,
            appservices: load_appservices(&config)?,
            config: Arc::new(config),
            data_dir,
        })
    }
}

async fn build(
    foundation: Foundation,
    store: Store,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
) -> Result<Started, StartError> {
    let Foundation {
        config,
        data_dir,
        key,
        appservices,
    } = foundation;
    let key = identity::check(&store, &config.server_name, key, &data_dir).await?;

    let tasks = TaskTracker::new();
    let shutdown = CancellationToken::new();
    let sync = SyncEngine::open(store.clone(), sync_options(&config), Arc::clone(&clock)).await?;
    follow_log(&store, &sync, (&tasks, &shutdown));
    let pair = Arc::new(key.pair);
    let federation = federation(&config, &pair, &clock)?;
    let key_ring = key_ring(&config, &store, &federation, &pair, &clock).await?;
    let base = Base {
        config,
        store,
        sync,
        federation,
        key_ring,
        clock,
        tasks,
        shutdown,
    };
    let rooms = base.rooms(pair);
    rooms.resume_joins().await?;
    let key_backups = KeyBackups::new(base.store.clone(), base.tasks.clone());
    let users = base.users(&rooms, &key_backups, &appservices).await?;
    check_tokens(&appservices, &users).await?;
    let sender = base.sender().await?;
    let device_lists = base.device_lists();
    let to_device = base.to_device();
    let e2ee = base.e2ee(&users, &device_lists);
    let first_admin_token = users.first_admin_token().await?;
    let acls = Arc::new(ServerAcls::default());
    let inbound = base.inbound(&rooms, &acls).await?;
    let presences = base.presences();
    let app = App::new(Services {
        rate_limits: RateLimits::new(base.config.rate_limit.clone(), Arc::clone(&base.clock)),
        request_ids: RequestIds::new(rand::random()),
        acls,
        inbound,
        federation: base.federation,
        sender,
        device_lists,
        to_device,
        transactions: Transactions::default(),
        dehydrated_devices: DehydratedDevices::new(base.store.clone(), users.clone(), e2ee.clone()),
        key_backups,
        presences,
        key_ring: base.key_ring,
        tokens: Arc::new(users.clone()),
        config: base.config,
        data_dir,
        store: base.store,
        sync: base.sync,
        rooms,
        users,
        e2ee,
        clock: base.clock,
        appservices,
        metrics: Some(telemetry),
        tasks: base.tasks,
        shutdown: base.shutdown,
    });
    Ok(Started {
        app,
        first_admin_token,
    })
}

/// What the domain's services rest on.
struct Base {
    config: Arc<Config>,
    store: Store,
    sync: SyncEngine,
    federation: Federation,
    key_ring: KeyRing,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Base {
    fn e2ee(&self, users: &Users, remote: &RemoteLists) -> E2ee {
        E2ee::new(E2eeDependencies {
            store: self.store.clone(),
            sync: self.sync.clone(),
            users: users.clone(),
            remote: remote.clone(),
            cache_bytes: self.config.cache.user_keys.as_bytes(),
        })
    }

    fn rooms(&self, pair: Arc<Ed25519KeyPair>) -> Rooms {
        let signer = EventSigner::new(self.config.server_name.clone(), pair);
        Rooms::new(RoomDependencies {
            store: self.store.clone(),
            sync: self.sync.clone(),
            signer: Arc::new(signer),
            clock: Arc::clone(&self.clock),
            default_version: self.config.default_room_version.clone(),
            federation: self.federation.clone(),
            key_ring: self.key_ring.clone(),
            tasks: self.tasks.clone(),
        })
    }

    async fn users(
        &self,
        rooms: &Rooms,
        key_backups: &KeyBackups,
        appservices: &Appservices,
    ) -> Result<Users, UserError> {
        Users::start(UserDependencies {
            config: Arc::clone(&self.config),
            store: self.store.clone(),
            sync: self.sync.clone(),
            rooms: Arc::new(AccountRooms(rooms.clone())),
            key_backups: key_backups.clone(),
            federation: self.federation.clone(),
            appservices: appservices.clone(),
            clock: Arc::clone(&self.clock),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        })
        .await
    }

    async fn sender(&self) -> Result<Sender, StoreError> {
        Sender::start(SenderDependencies {
            store: self.store.clone(),
            sync: self.sync.clone(),
            federation: self.federation.clone(),
            clock: Arc::clone(&self.clock),
            retry: self.config.federation.retry.clone(),
            device_names: self.config.federation.allow_device_names,
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        })
        .await
    }

    fn presences(&self) -> Presences {
        let server_name = self.config.server_name.clone();
        let clock = Arc::clone(&self.clock);
        Presences::new(self.store.clone(), self.sync.clone(), clock, server_name)
    }

    fn device_lists(&self) -> RemoteLists {
        RemoteLists::start(RemoteDependencies {
            store: self.store.clone(),
            sync: self.sync.clone(),
            federation: self.federation.clone(),
            retry: self.config.federation.retry.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        })
    }

    /// Messages to devices, and what forgets the old ones of other servers.
    fn to_device(&self) -> ToDevice {
        let to_device = ToDevice::new(
            self.store.clone(),
            self.sync.clone(),
            self.config.server_name.clone(),
            Arc::clone(&self.clock),
        );
        let forgetting = to_device.clone().keep_forgetting(self.shutdown.clone());
        self.tasks.spawn(forgetting);
        to_device
    }

    /// What takes in the events of other servers.
    async fn inbound(&self, rooms: &Rooms, acls: &Arc<ServerAcls>) -> Result<Inbound, StoreError> {
        Inbound::start(InboundDependencies {
            rooms: rooms.clone(),
            key_ring: self.key_ring.clone(),
            acls: Arc::clone(acls),
            federation: self.federation.clone(),
            clock: Arc::clone(&self.clock),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        })
        .await
    }
}

fn load_appservices(config: &Config) -> Result<Appservices, RegistrationError> {
    match &config.appservice.dir {
        Some(folder) => Appservices::load(folder, &config.server_name),
        None => Ok(Appservices::default()),
    }
}

async fn open_store(config: &Config) -> Result<Store, StartError> {
    let database = config.store_config();
    let opened = Store::open(&database).await;
    opened.map_err(|source| StartError::Database {
        url: database.url,
        source,
    })
}

/// An application service must not have the token of a user.
async fn check_tokens(appservices: &Appservices, users: &Users) -> Result<(), StartError> {
    for appservice in appservices.iter() {
        let Registration { id, as_token, .. } = &appservice.registration;
        if !matches!(users.authenticate(as_token).await?, TokenState::Unknown) {
            return Err(StartError::TokenTaken { id: id.clone() });
        }
    }
    Ok(())
}

/// The way to other homeservers: over the network, as the configuration bounds it.
pub(crate) fn federation(
    config: &Config,
    pair: &Arc<Ed25519KeyPair>,
    clock: &Arc<dyn Clock>,
) -> Result<Federation, TrustError> {
    let dns: Arc<dyn Dns> = Arc::new(SystemDns::default());
    let outbound = HttpOutbound::new(HttpOptions {
        dns: Arc::clone(&dns),
        trusted: Trusted::load(&config.tls.extra_ca_files)?,
        guard: AddressGuard::new(config.federation.deny_ip_ranges.clone()),
        memory: MemoryLimits::default(),
    })?;
    Ok(Federation::new(FederationOptions {
        server_name: config.server_name.clone(),
        key: Arc::clone(pair),
        outbound: Arc::new(outbound),
        dns,
        clock: Arc::clone(clock),
    }))
}

async fn key_ring(
    config: &Config,
    store: &Store,
    federation: &Federation,
    pair: &Arc<Ed25519KeyPair>,
    clock: &Arc<dyn Clock>,
) -> Result<KeyRing, StoreError> {
    let own = OwnKeys::load(store, config.server_name.clone(), Arc::clone(pair)).await?;
    let banned = config.federation.banned_keys.iter();
    Ok(KeyRing::new(KeyRingOptions {
        own: Arc::new(own),
        store: store.clone(),
        federation: federation.clone(),
        clock: Arc::clone(clock),
        notaries: config.federation.trusted_key_servers.clone(),
        banned: banned.map(|key| key.0.clone()).collect(),
    }))
}

fn sync_options(config: &Config) -> SyncOptions {
    let mut options = SyncOptions::new(config.server_name.clone());
    options.room_bytes = config.cache.rooms.as_bytes();
    options.user_bytes = config.cache.users.as_bytes();
    options.receipt_bytes = config.cache.receipts.as_bytes();
    options.presence = PresenceOptions {
        enabled: config.presence.enabled,
        grace: config.presence.offline_after,
        idle_after: config.presence.idle_after,
    };
    options
}

/// Runs what follows the log of changes and keeps it short.
fn follow_log(
    store: &Store,
    sync: &SyncEngine,
    (tasks, shutdown): (&TaskTracker, &CancellationToken),
) {
    let (follower, end) = (sync.clone(), shutdown.clone());
    tasks.spawn(async move { follower.follow(end).await });
    tasks.spawn(trim_log(store.clone(), shutdown.clone()));
}

/// Keeps the log of changes short until `shutdown`.
async fn trim_log(store: Store, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = store.keep_log_trimmed(TRIM_INTERVAL) => {}
    }
}
