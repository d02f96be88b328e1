//! Presence: what users say about being there, and who may know it.
//!
//! The sync engine derives who is online ([`matryx_client::sync::Presence`]); what a user says is
//! kept here.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#presence)

use std::sync::Arc;

use matryx_client::sync::{PresenceStatus, SyncEngine, SyncError};
use matryx_entity::{clock::Clock, presence::PresenceRecord};
use matryx_surrealdb::{Plan, Store, StoreError};
use ruma::{OwnedServerName, UserId, presence::PresenceState};

use crate::caller::Requester;

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 2048;

/// Why a presence can't be told or set.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// It is somebody else's.
    #[error("You may not set another user's presence")]
    NotYours,
    /// The two users share no room.
    #[error("You may not see this user's presence")]
    NotShared,
    /// The message is too long.
    #[error("The status message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// The state is none of the three that there are.
    #[error("The presence must be online, unavailable or offline")]
    UnknownState,
    /// The caches can't be read.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The presence of users. Cheap to clone.
#[derive(Clone)]
pub struct Presences(Arc<Inner>);

struct Inner {
    store: Store,
    sync: SyncEngine,
    clock: Arc<dyn Clock>,
    server_name: OwnedServerName,
}

impl Presences {
    /// Presence over a store and its caches.
    pub fn new(
        store: Store,
        sync: SyncEngine,
        clock: Arc<dyn Clock>,
        server_name: OwnedServerName,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            sync,
            clock,
            server_name,
        }))
    }

    /// What a user is, for somebody who shares a room with them: one query for a user of this
    /// server of whom nothing is known since the start, else none.
    ///
    /// # Errors
    /// The two share no room, or something can't be read.
    pub async fn status(
        &self,
        reader: &UserId,
        user: &UserId,
    ) -> Result<PresenceStatus, PresenceError> {
        if reader != user && !self.share_a_room(reader, user).await? {
            return Err(PresenceError::NotShared);
        }
        self.recall(user).await?;
        let known = self.0.sync.presence().get(user);
        Ok(known.unwrap_or(PresenceStatus {
            presence: PresenceState::Offline,
            status_msg: None,
            last_active: None,
            currently_active: false,
        }))
    }

    /// Sets the caller's presence. One commit.
    ///
    /// # Errors
    /// It is somebody else's, it is not acceptable, or it can't be written.
    pub async fn set_status(
        &self,
        requester: &Requester,
        user: &UserId,
        presence: PresenceState,
        status_msg: Option<String>,
    ) -> Result<(), PresenceError> {
        if requester.user_id != user {
            return Err(PresenceError::NotYours);
        }
        let known = [
            PresenceState::Online,
            PresenceState::Unavailable,
            PresenceState::Offline,
        ];
        if !known.contains(&presence) {
            return Err(PresenceError::UnknownState);
        }
        let status_msg = status_msg.filter(|message| !message.is_empty());
        if status_msg.as_ref().is_some_and(|it| it.len() > MAX_MESSAGE) {
            return Err(PresenceError::TooLong);
        }
        if !self.0.sync.presence().is_enabled() {
            return Ok(());
        }
        let mut plan = Plan::new();
        plan.put(&PresenceRecord {
            user: user.to_owned(),
            presence: presence.clone(),
            status_msg: status_msg.clone(),
            set_ts: self.0.clock.now(),
        });
        self.0.store.commit(plan).await?;
        self.0.sync.presence().set(user, &presence, status_msg);
        Ok(())
    }

    /// Makes sure that what a user of this server said before a restart is known. One query for each
    /// user after a start.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn recall(&self, user: &UserId) -> Result<(), StoreError> {
        let hub = self.0.sync.presence();
        let is_known = user.server_name() != self.0.server_name || hub.get(user).is_some();
        if is_known || !hub.is_enabled() {
            return Ok(());
        }
        let key = PresenceRecord::key_of(user);
        let record = self.0.store.get::<PresenceRecord>(&key).await?;
        let status = PresenceStatus {
            presence: PresenceState::Offline,
            last_active: record.as_ref().map(|record| record.set_ts),
            status_msg: record.and_then(|record| record.status_msg),
            currently_active: false,
        };
        hub.recall(user, &status);
        Ok(())
    }

    async fn share_a_room(&self, reader: &UserId, user: &UserId) -> Result<bool, SyncError> {
        let view = self.0.sync.user(reader).await?;
        for member in view.joined() {
            let room = self.0.sync.room(member.room).await?;
            if room.is_some_and(|room| room.is_joined(user)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
