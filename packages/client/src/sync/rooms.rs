//! The rooms in memory: snapshots by number, numbers by id.

use std::sync::Arc;

use matryx_entity::{key, room::RoomPointer, room_no::RoomNo, room_snapshot::RoomSnapshot};
use matryx_surrealdb::Store;
use ruma::{OwnedRoomId, OwnedServerName, RoomId};

use super::{
    cache::{Cache, CacheStatus, Weigh},
    error::SyncError,
    load_room::load_room,
};

/// The bounded caches of rooms.
pub(crate) struct Rooms {
    store: Store,
    local: OwnedServerName,
    snapshots: Cache<RoomNo, RoomSnapshot>,
    numbers: Cache<OwnedRoomId, RoomNo>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

impl Weigh for RoomNo {
    fn weigh(&self) -> u64 {
        200
    }
}

impl Rooms {
    pub(crate) fn new(store: Store, local: OwnedServerName, bytes: u64) -> Self {
        Self {
            store,
            local,
            snapshots: Cache::new("rooms", bytes),
            numbers: Cache::new("room_numbers", bytes / 16),
        }
    }

    /// The room now; loaded on a miss.
    pub(crate) async fn room(&self, no: RoomNo) -> Result<Option<Arc<RoomSnapshot>>, SyncError> {
        let load = || load_room(&self.store, no, &self.local);
        self.snapshots.get_or_load(&no, load).await
    }

    /// The number of a room; one query on a miss.
    pub(crate) async fn number(&self, room_id: &RoomId) -> Result<Option<RoomNo>, SyncError> {
        let load = || async {
            let key = key![room_id.as_str()];
            let pointer = self.store.get::<RoomPointer>(&key).await?;
            Ok::<_, SyncError>(pointer.map(|pointer| pointer.no))
        };
        let found = self.numbers.get_or_load(&room_id.to_owned(), load).await?;
        Ok(found.map(|no| *no))
    }

    /// The room, if it is in memory.
    pub(crate) fn cached(&self, no: RoomNo) -> Option<Arc<RoomSnapshot>> {
        self.snapshots.get(&no)
    }

    /// Puts a newer snapshot in place.
    pub(crate) fn publish(&self, snapshot: &Arc<RoomSnapshot>) {
        let head = snapshot.head;
        if head <= 1 {
            let no = Arc::new(snapshot.no);
            self.numbers.publish(&snapshot.room_id, no, |_| false);
        }
        let keep = |known: &RoomSnapshot| known.head > head;
        self.snapshots
            .publish(&snapshot.no, Arc::clone(snapshot), keep);
    }

    /// Changes a snapshot that is in memory; `change` returns none to drop it.
    pub(crate) fn update(
        &self,
        no: RoomNo,
        change: impl FnOnce(&Arc<RoomSnapshot>) -> Option<Arc<RoomSnapshot>>,
    ) {
        self.snapshots.update(&no, change);
    }

    /// Drops a snapshot: the next reader loads it.
    pub(crate) fn invalidate(&self, no: RoomNo) {
        self.snapshots.invalidate(&no);
    }

    /// Drops all snapshots.
    pub(crate) fn clear(&self) {
        self.snapshots.clear();
    }

    pub(crate) fn local(&self) -> &OwnedServerName {
        &self.local
    }

    pub(crate) fn status(&self) -> [CacheStatus; 2] {
        [self.snapshots.status(), self.numbers.status()]
    }
}
