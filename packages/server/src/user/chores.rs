//! Follow-ups of changes of accounts, one after another, tried again until they succeed.

use std::{sync::Arc, time::Duration};

use matryx_entity::{
    chore::{Chore, Task},
    stored::Stored,
};
use matryx_surrealdb::{KeyRange, Plan, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{UserError, Users, rooms::UserRooms};
use crate::key_backup::KeyBackups;

/// How long to wait before the first and at most before a later attempt.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The worker. The queue holds one small entry per change of an account that is not carried out;
/// when it closes, the account domain is gone.
pub(super) struct Chores {
    store: Store,
    rooms: Arc<dyn UserRooms>,
    key_backups: KeyBackups,
    queue: mpsc::UnboundedReceiver<Chore>,
}

impl Chores {
    pub(super) fn new(
        store: Store,
        rooms: Arc<dyn UserRooms>,
        key_backups: KeyBackups,
        queue: mpsc::UnboundedReceiver<Chore>,
    ) -> Self {
        Self {
            store,
            rooms,
            key_backups,
            queue,
        }
    }

    /// Works until the end; what is not done then is taken up at the next start.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        while let Some(Some(chore)) = shutdown.run_until_cancelled(self.queue.recv()).await {
            let mut wait = FIRST_WAIT;
            while let Err(error) = self.attempt(&chore).await {
                tracing::warn!(user = %chore.user, task = chore.task.as_str(), %error, "will try again");
                let sleep = tokio::time::sleep(wait);
                if shutdown.run_until_cancelled(sleep).await.is_none() {
                    return;
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    async fn attempt(&self, chore: &Chore) -> Result<(), UserError> {
        match chore.task {
            Task::CarryProfile => self.rooms.carry_profile(&chore.user).await?,
            Task::LeaveRooms => self.rooms.leave_all(&chore.user).await?,
            Task::EraseBackups => self.key_backups.erase(&chore.user).await?,
        }
        let mut plan = Plan::new();
        plan.delete::<Chore>(&chore.key());
        self.store.commit(plan).await?;
        Ok(())
    }
}

impl Users {
    /// Queues what the last process left undone.
    pub(super) async fn take_up_chores(&self) -> Result<(), UserError> {
        for chore in self.inner.store.range::<Chore>(KeyRange::all()).await? {
            self.queue_chore(chore);
        }
        Ok(())
    }

    /// Queues a follow-up whose record is committed.
    pub(super) fn queue_chore(&self, chore: Chore) {
        if self.inner.chores.send(chore).is_err() {
            tracing::info!("the server stops; a follow-up waits for its next start");
        }
    }
}
