//! The counter of what is not logged: one for everything ephemeral, since a token has one cursor.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockWriteGuard};

/// The counter. Who counts it up publishes the change before letting go, so that whoever reads the
/// counter sees all that it counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serials(Arc<RwLock<u64>>);

impl Serials {
    /// The number of the newest change.
    pub(crate) fn newest(&self) -> u64 {
        *self.0.read()
    }

    /// To count up and publish. Taken before any other lock.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, u64> {
        self.0.write()
    }
}
