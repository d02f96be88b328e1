//! What users said who had themselves erased: whole to those who were in the room then, redacted to
//! everybody else.
//!
//! Who they are is kept in memory, all of them: they are few, and every event that is shown asks.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate)

use std::{collections::HashSet, sync::Arc};

use matryx_entity::{
    erasure::Erasure, redact, room_snapshot::RoomSnapshot, room_versions, timeline::TimelineEvent,
    visibility::Viewer,
};
use matryx_surrealdb::KeyRange;
use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{engine::SyncEngine, error::SyncError};

/// Who had themselves erased.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    /// A plain lock: held for one lookup; written when an account is closed.
    users: RwLock<HashSet<OwnedUserId>>,
}

impl Erased {
    pub(crate) fn add(&self, user: &UserId) {
        self.users.write().insert(user.to_owned());
    }

    fn has(&self, user: &UserId) -> bool {
        let users = self.users.read();
        !users.is_empty() && users.contains(user)
    }
}

impl SyncEngine {
    /// Reads who was erased. One query.
    pub(crate) async fn load_erased(&self) -> Result<(), SyncError> {
        let erasures: Vec<Erasure> = self.inner.store.range(KeyRange::all()).await?;
        for erasure in erasures {
            self.inner.erased.add(&erasure.user);
        }
        Ok(())
    }

    /// Did this user have themselves erased?
    pub fn is_erased(&self, user: &UserId) -> bool {
        self.inner.erased.has(user)
    }

    /// An event that this reader may see, in the form in which they may see it.
    ///
    /// # Errors
    /// The event is damaged.
    pub fn form_for(
        &self,
        viewer: &Viewer<'_>,
        room: &RoomSnapshot,
        event: &Arc<TimelineEvent>,
    ) -> Result<Arc<TimelineEvent>, SyncError> {
        let is_whole = !self.is_erased(event.pdu.sender())
            || viewer.membership_at(event) == MembershipState::Join;
        if is_whole {
            return Ok(Arc::clone(event));
        }
        let Ok(rules) = room_versions::rules(&room.version) else {
            return Err(SyncError::Inconsistent {
                room: room.no.0,
                what: "its version is not supported",
            });
        };
        Ok(Arc::new(redact::redacted_copy(event, rules)?))
    }
}
