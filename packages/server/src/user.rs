//! Accounts: who may log in, with which devices and tokens, and what users keep on the server.
//!
//! Invariants: a token is stored as its hash only; a device says which tokens are valid; whatever
//! revokes a token or changes an account is a log entry, and the token cache follows the log, so
//! a revocation holds with the answer that confirms it. Changes of one account in this process
//! happen one after another ([`Users::lock`]).

mod account_data;
mod activity;
mod authenticate;
mod chores;
mod credentials;
mod deactivate;
mod device;
mod device_list;
mod elsewhere;
mod error;
mod filter;
mod first_admin;
mod interactive;
mod open_id;
mod operator;
mod password;
mod profile;
mod profile_cache;
mod push_rules;
mod register;
mod registration_token;
mod rooms;
mod secret;
mod session;
mod shared_secret;
mod tag;
mod token_cache;
mod web_stage;

use std::{sync::Arc, time::Duration};

use matryx_client::{federation::Federation, sync::SyncEngine};
use matryx_entity::{clock::Clock, log::LogEntry, stored::Stored, user::User};
use matryx_surrealdb::Store;
use ruma::{MilliSecondsSinceUnixEpoch, ServerName, UInt, UserId};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    account_data::DataScope,
    credentials::LoginName,
    device::ListedDevice,
    error::UserError,
    interactive::Proven,
    open_id::IssuedOpenId,
    operator::{Listed, NewUser},
    password::MAX_PASSWORD_BYTES,
    register::{NewAccount, Registered},
    rooms::{RoomsFailed, UserRooms},
    session::{NewSession, Session},
    shared_secret::SharedSecretRequest,
    web_stage::WebStage,
};
use self::{
    activity::Activity, chores::Chores, password::Passwords, profile_cache::ProfileCache,
    shared_secret::Nonces, token_cache::TokenCache,
};
pub(crate) use self::{device_list::ListChange, session::check_device};
use crate::{
    appservice::Appservices, config::Config, key_backup::KeyBackups, user_locks::UserLocks,
};

/// What the account domain is built from.
pub struct UserDependencies {
    /// The configuration.
    pub config: Arc<Config>,
    /// The database.
    pub store: Store,
    /// The caches.
    pub sync: SyncEngine,
    /// The rooms that follow changes of accounts.
    pub rooms: Arc<dyn UserRooms>,
    /// The backups of room keys, which go with their account.
    pub key_backups: KeyBackups,
    /// The way to other homeservers.
    pub federation: Federation,
    /// The registered application services, which reserve names.
    pub appservices: Appservices,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where background tasks run.
    pub tasks: TaskTracker,
    /// Ends the background tasks.
    pub shutdown: CancellationToken,
}

/// The accounts. Cheap to clone.
#[derive(Clone)]
pub struct Users {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    store: Store,
    sync: SyncEngine,
    federation: Federation,
    appservices: Appservices,
    clock: Arc<dyn Clock>,
    passwords: Passwords,
    tokens: TokenCache,
    profiles: ProfileCache,
    activity: Activity,
    nonces: Nonces,
    chores: mpsc::UnboundedSender<matryx_entity::chore::Chore>,
    /// Held while an account is read, changed and written.
    locks: UserLocks,
    /// Held while a registration claims a use of a limited token, so that the uses of one token
    /// are claimed in order and not by trial.
    claims: Mutex<()>,
}

impl Inner {
    /// Forgets what a change makes stale.
    fn follow(&self, entry: &LogEntry) {
        match entry {
            LogEntry::Revoked { user, .. } => self.tokens.revoke(user),
            LogEntry::User { user } => {
                self.tokens.revoke(user);
                self.profiles.forget(user);
            }
            _ => {}
        }
    }
}

impl Users {
    /// Starts the account domain: takes up what the last process left undone and follows the log.
    ///
    /// # Errors
    /// The cost of a password hash is out of range, or the database is away.
    pub async fn start(dependencies: UserDependencies) -> Result<Self, UserError> {
        let UserDependencies {
            config,
            store,
            sync,
            rooms,
            key_backups,
            federation,
            appservices,
            clock,
            tasks,
            shutdown,
        } = dependencies;
        let passwords = Passwords::new(&config.password)?;
        let token_capacity = usize::try_from(config.cache.access_tokens).unwrap_or(usize::MAX);
        let (chores, queue) = mpsc::unbounded_channel();
        let users = Self {
            inner: Arc::new(Inner {
                config,
                store,
                sync,
                federation,
                appservices,
                clock,
                passwords,
                tokens: TokenCache::new(token_capacity),
                profiles: ProfileCache::new(),
                activity: Activity::default(),
                nonces: Nonces::default(),
                chores,
                locks: UserLocks::default(),
                claims: Mutex::default(),
            }),
        };
        let follower = Arc::downgrade(&users.inner);
        users.inner.sync.on_entry(move |_, entry| {
            if let Some(inner) = follower.upgrade() {
                inner.follow(entry);
            }
        });
        users.take_up_chores().await?;
        let chores = Chores::new(users.inner.store.clone(), rooms, key_backups, queue);
        tasks.spawn(chores.run(shutdown.clone()));
        tasks.spawn(users.clone().keep_house(shutdown));
        Ok(users)
    }

    /// The name of this server.
    pub fn server_name(&self) -> &ServerName {
        &self.inner.config.server_name
    }

    /// An account, whatever its condition: one query.
    ///
    /// # Errors
    /// The database is away.
    pub async fn lookup(&self, user: &UserId) -> Result<Option<User>, UserError> {
        Ok(self.inner.store.get::<User>(&User::key_of(user)).await?)
    }

    /// The user's lock, for a change that reads before it writes.
    pub(crate) async fn lock(&self, user: &UserId) -> Option<MutexGuard<'_, ()>> {
        self.inner.locks.lock(user).await
    }

    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        self.inner.clock.now()
    }

    pub(crate) fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == self.server_name()
    }

    /// Writes down when devices were last used and drops what has expired, from
    /// time to time and at the end.
    async fn keep_house(self, shutdown: CancellationToken) {
        const INTERVAL: Duration = Duration::from_secs(30);
        loop {
            let ended = shutdown
                .run_until_cancelled(tokio::time::sleep(INTERVAL))
                .await
                .is_none();
            if let Err(error) = self.write_activity().await {
                tracing::warn!(%error, "could not note when devices were last used");
            }
            if ended {
                return;
            }
            if let Err(error) = self.drop_expired_sessions().await {
                tracing::warn!(%error, "could not drop expired authentication sessions");
            }
            if let Err(error) = self.drop_expired_open_ids().await {
                tracing::warn!(%error, "could not drop expired OpenID tokens");
            }
        }
    }
}

/// A time this much later.
fn later(now: MilliSecondsSinceUnixEpoch, by: Duration) -> MilliSecondsSinceUnixEpoch {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    let by = UInt::try_from(by).unwrap_or(UInt::MAX);
    MilliSecondsSinceUnixEpoch(now.get().saturating_add(by))
}

/// The table of an account, to tell which record was there already.
const USER_TABLE: &str = <User as Stored>::TABLE;
