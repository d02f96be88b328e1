//! Backups of room keys: what a user's devices keep on the server so that another one can read old
//! messages. The keys are encrypted by the client; the server compares what is told beside them.
//!
//! Invariants: keys are added to the newest version only. A version's count, size and etag are
//! written with the keys that they tell of. Numbers of versions go up and are never given out
//! twice: a deleted version stays as a mark until a higher number is taken. Changes of one user's
//! backups happen one after another, each in commits of a bounded size, and are carried through
//! even if the client hangs up.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)

mod error;
mod keys;
mod upload;
mod version;

use std::{future::Future, sync::Arc};

use matryx_surrealdb::Store;
use tokio_util::task::TaskTracker;

pub use self::{
    error::KeyBackupError,
    keys::KeyScope,
    upload::{MAX_UPLOADED_KEYS, UploadedKey},
    version::BackupMethod,
};
use crate::user_locks::UserLocks;

/// How many keys one commit writes or removes at most.
const KEYS_PER_COMMIT: usize = 500;

/// The key backups. Cheap to clone.
#[derive(Clone)]
pub struct KeyBackups {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    locks: UserLocks,
    tasks: TaskTracker,
}

/// What a version holds after a change of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupState {
    /// Goes up with every change.
    pub etag: i64,
    /// How many keys there are.
    pub count: i64,
}

impl KeyBackups {
    /// The backups in this database. What must be carried through runs among `tasks`.
    pub fn new(store: Store, tasks: TaskTracker) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                locks: UserLocks::default(),
                tasks,
            }),
        }
    }

    /// Carries a change through although the request may end before it does: a change that stopped
    /// between two commits would let go of the lock while one of them is still on its way.
    async fn carry_through<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, KeyBackupError>> + Send + 'static,
    ) -> Result<T, KeyBackupError> {
        self.inner.tasks.spawn(change).await?
    }
}
