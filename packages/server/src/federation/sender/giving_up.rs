//! Messages for servers that never come back: they wait long, but not for ever.

use std::{sync::Arc, time::Duration};

use matryx_entity::queued_edu::{QueuedEdu, given_up};
use matryx_surrealdb::StoreError;
use metrics::counter;

use super::Shared;

/// How often the messages that wait are gone through.
const INTERVAL: Duration = Duration::from_hours(6);

/// How many are removed at a time.
const CHUNK: usize = 500;

impl Shared {
    /// Gives up what waits for too long, now and then, until the server stops.
    pub(super) async fn keep_giving_up(self: Arc<Self>) {
        let shutdown = self.deps.shutdown.clone();
        loop {
            if let Err(error) = self.give_up().await {
                tracing::warn!(%error, "old messages for other servers could not be removed");
            }
            let pause = tokio::time::sleep(INTERVAL);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Gives up what waits for too long. One query for each server for which something waits.
    pub(super) async fn give_up(&self) -> Result<(), StoreError> {
        let store = &self.deps.store;
        for server in self.read_waiting().await? {
            let queued = store.queued_edus(&server).await?;
            let places = given_up(queued, self.deps.clock.now());
            if places.is_empty() {
                continue;
            }
            let prefix = QueuedEdu::prefix(&server);
            let keys: Vec<_> = places.iter().map(|at| prefix.clone().at(*at)).collect();
            for keys in keys.chunks(CHUNK) {
                store.remove::<QueuedEdu>(keys).await?;
            }
            let messages = keys.len();
            counter!("matryx_federation_messages_given_up_total").increment(messages as u64);
            tracing::warn!(%server, messages, "gave up messages for a server that is away");
        }
        Ok(())
    }
}
