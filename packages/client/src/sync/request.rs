//! What a client asks of `/sync`.

use std::{sync::Arc, time::Duration};

use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::client::filter::{FilterDefinition, LazyLoadOptions},
    presence::PresenceState,
};

use super::inbox::DeviceName;

/// The longest time that a long poll sleeps.
pub const MAX_TIMEOUT: Duration = Duration::from_mins(3);

/// The most events of one room's timeline in one response.
pub const MAX_TIMELINE: usize = 100;

/// How many events a timeline has when the filter does not say.
pub const DEFAULT_TIMELINE: usize = 10;

/// A request for `/sync`.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync)
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// From which device; none for an application service that acts as a user.
    pub device_id: Option<OwnedDeviceId>,
    /// What to leave out.
    pub filter: Arc<FilterDefinition>,
    /// The token of the response before.
    pub since: Option<String>,
    /// Whether all state is wanted, not only what changed.
    pub full_state: bool,
    /// Whether state is wanted as of the end of the timeline instead of its start.
    pub use_state_after: bool,
    /// What the client's asking says about its user: `offline` for nothing.
    pub set_presence: PresenceState,
    /// How long to wait for something; at most [`MAX_TIMEOUT`].
    pub timeout: Duration,
}

impl SyncRequest {
    /// An initial sync that does not wait.
    pub fn new(user_id: OwnedUserId, device_id: Option<OwnedDeviceId>) -> Self {
        Self {
            user_id,
            device_id,
            filter: Arc::default(),
            since: None,
            full_state: false,
            use_state_after: false,
            set_presence: PresenceState::Online,
            timeout: Duration::ZERO,
        }
    }

    /// The device that asks, with its user.
    pub(crate) fn device(&self) -> Option<DeviceName> {
        let device = self.device_id.clone()?;
        Some((self.user_id.clone(), device))
    }

    pub(crate) fn timeline_limit(&self) -> usize {
        let limit = self.filter.room.timeline.limit;
        limit
            .and_then(|limit| usize::try_from(u64::from(limit)).ok())
            .map_or(DEFAULT_TIMELINE, |limit| limit.min(MAX_TIMELINE))
    }

    pub(crate) fn lazy_load(&self) -> LazyLoadOptions {
        self.filter.room.state.lazy_load_options
    }
}
