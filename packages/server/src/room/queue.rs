//! One writer per room: the queue that owns the room's newest state.
//!
//! A queue is a fair async mutex around the room's [`Head`]. Whoever holds it builds the next
//! event on the head, hands the plan to the log writer and moves the head on; the commit is
//! awaited outside of the lock, so that the events of one room share commits. When a commit fails,
//! the head was built on something that never happened: the fence epoch makes the writer refuse
//! every plan that stands on it, and the next caller starts again from the committed room.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use matryx_entity::{key, room_no::RoomNo, room_snapshot::RoomSnapshot, state::StateGroup};
use matryx_surrealdb::StoreError;
use parking_lot::Mutex as SyncMutex;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    RoomError, Rooms,
    in_flight::{self, Outcome},
};

/// How many rooms may have a queue before idle ones are dropped. An idle queue keeps its room in
/// memory, which the bound of the cache does not count; a queue that is needed again takes the
/// room from the cache.
const MAX_QUEUES: usize = 256;

/// The queues of all rooms that are being written to.
///
/// The map's lock is held for a look-up only, never across an await.
#[derive(Debug, Default)]
pub(super) struct Queues {
    rooms: SyncMutex<HashMap<RoomNo, Arc<RoomQueue>>>,
    epochs: AtomicU64,
}

/// One room's queue. The mutex is fair: writers get their turn in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct RoomQueue {
    head: Arc<Mutex<Option<Head>>>,
}

/// The newest state of a room, committed or about to be.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) snapshot: RoomSnapshot,
    /// Unknown until a state event asks.
    pub(super) chain: Option<GroupChain>,
    /// How the commit of the newest plan ends.
    pub(super) outcome: Outcome,
    /// Plans built on this head carry it; see [`matryx_surrealdb::Plan::fence`].
    pub(super) epoch: u64,
}

/// Where the chain of deltas stands that the newest state group is part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupChain {
    pub(super) base: i64,
    pub(super) length: u16,
}

/// The turn of one writer.
pub(super) type Turn = OwnedMutexGuard<Option<Head>>;

impl Queues {
    fn queue(&self, room: RoomNo) -> Arc<RoomQueue> {
        let mut rooms = self.rooms.lock();
        if rooms.len() >= MAX_QUEUES && !rooms.contains_key(&room) {
            // A queue whose lock is free and that nobody else holds has no writer. Its last plan
            // may still be on its way, but the caches it reloads from are updated before acks.
            rooms.retain(|_, queue| {
                Arc::strong_count(queue) > 1 || Arc::strong_count(&queue.head) > 1
            });
        }
        Arc::clone(rooms.entry(room).or_default())
    }

    fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Rooms {
    /// Waits for this writer's turn in a room and makes sure that the head is loaded.
    pub(super) async fn turn(&self, room: RoomNo) -> Result<Turn, RoomError> {
        let queue = self.inner.queues.queue(room);
        let mut turn = Arc::clone(&queue.head).lock_owned().await;
        if turn.is_none() {
            *turn = Some(self.load_head(room).await?);
        }
        Ok(turn)
    }

    /// The first turn in a room that is being created: nobody else knows its number yet.
    pub(super) async fn first_turn(&self, room: RoomNo) -> Turn {
        Arc::clone(&self.inner.queues.queue(room).head)
            .lock_owned()
            .await
    }

    /// A head for a room that is about to be created.
    pub(super) fn new_head(&self, snapshot: RoomSnapshot) -> Head {
        Head {
            snapshot,
            chain: None,
            outcome: in_flight::landed(),
            epoch: self.inner.queues.next_epoch(),
        }
    }

    async fn load_head(&self, room: RoomNo) -> Result<Head, RoomError> {
        let snapshot = self
            .sync()
            .room(room)
            .await?
            .ok_or(RoomError::NoSuchState)?;
        Ok(Head {
            snapshot: (*snapshot).clone(),
            chain: None,
            outcome: in_flight::landed(),
            epoch: self.inner.queues.next_epoch(),
        })
    }

    /// The chain that the newest state group of a head ends. Reads that group if nobody asked on
    /// this head before; one that is missing ends a chain which nothing can be added to.
    pub(super) async fn chain_of(&self, head: &Head) -> Result<GroupChain, StoreError> {
        if let Some(chain) = head.chain {
            return Ok(chain);
        }
        let (room, group) = (head.snapshot.no, head.snapshot.group);
        let group = match group {
            0 => None,
            group => self.store().get::<StateGroup>(&key![room, group]).await?,
        };
        let full = GroupChain {
            base: 0,
            length: u16::MAX,
        };
        Ok(group.map_or(full, |group| GroupChain {
            base: group.base,
            length: group.length,
        }))
    }
}
