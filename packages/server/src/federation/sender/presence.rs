//! Presence on its way: the newest word about each user, to the servers that share a room with them.

use std::{collections::BTreeMap, sync::Arc};

use matryx_client::sync::PresenceStatus;
use parking_lot::Mutex;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId, UInt, UserId,
    api::federation::transactions::edu::PresenceUpdate,
};

use super::{SenderError, Shared};

/// Whose presence is to be told of and was not put into outboxes yet.
#[derive(Debug, Default)]
pub(super) struct FreshPresence(Mutex<BTreeMap<OwnedUserId, PresenceStatus>>);

impl Shared {
    /// Hears what became of a user of this server. Must not block.
    pub(super) fn hear_presence(&self, user: &UserId, status: &PresenceStatus) {
        let mut fresh = self.presence.0.lock();
        fresh.insert(user.to_owned(), status.clone());
        self.bell.notify_one();
    }

    /// Puts the newest word about each user into the outboxes.
    pub(super) async fn dispatch_presence(self: &Arc<Self>) -> Result<(), SenderError> {
        let fresh = std::mem::take(&mut *self.presence.0.lock());
        for (user, status) in fresh {
            let servers = self.servers_with(&user).await?;
            let mut state = self.state.lock();
            for server in &servers {
                let outbox = state.outboxes.entry(server.clone()).or_default();
                outbox.ephemeral.set_presence(user.clone(), status.clone());
                self.ensure_task(&mut state, server);
            }
        }
        Ok(())
    }
}

/// A status as it is told to another server at a moment.
pub(super) fn update(
    user: OwnedUserId,
    status: PresenceStatus,
    now: MilliSecondsSinceUnixEpoch,
) -> PresenceUpdate {
    let ago = status.last_active_ago(now).unwrap_or_default();
    let ago = UInt::try_from(ago).unwrap_or(UInt::MAX);
    let mut update = PresenceUpdate::new(user, status.presence, ago);
    update.currently_active = status.currently_active;
    update.status_msg = status.status_msg;
    update
}
