//! Messages for devices that other servers send: each is delivered once, however often it comes.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use matryx_entity::{
    received_message::ReceivedMessage,
    stored::{Key, Stored},
};
use matryx_surrealdb::{Plan, StoreError};
use ruma::ServerName;
use tokio_util::sync::CancellationToken;

use super::{Messages, ToDevice, plan_delivery};

/// How long it is remembered that a message was delivered: far longer than a server that is alive
/// goes without trying again.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// How often what is remembered is gone through.
const INTERVAL: Duration = Duration::from_hours(1);

/// A `m.direct_to_device` message whose sender is a user of the server that sent it.
#[derive(Clone, Debug)]
pub struct DirectToDevice {
    /// What names it, among those of its server.
    pub message_id: String,
    /// The messages.
    pub messages: Messages,
}

impl ToDevice {
    /// Delivers messages of another server, in order. Done when they are durable. How many there
    /// were that are for somebody and had not come before.
    ///
    /// # Errors
    /// The database is away: none, some or all of them are delivered. When they come again, those
    /// are known.
    pub async fn receive(
        &self,
        origin: &ServerName,
        parcels: Vec<DirectToDevice>,
    ) -> Result<usize, StoreError> {
        let mut parcels = self.unknown(origin, parcels).await?;
        for parcel in &mut parcels {
            let contents = &mut parcel.messages.contents;
            contents.retain(|user, _| user.server_name() == self.0.server_name);
        }
        parcels.retain(|parcel| parcel.messages.check().is_ok());
        let contents = parcels.iter().map(|parcel| &parcel.messages.contents);
        let known = self.addressees(contents).await?;
        let mut commits = Vec::new();
        for parcel in &parcels {
            let mut plan = Plan::new();
            // Too many for one message: whose it is has no reason to send that.
            if !matches!(plan_delivery(&mut plan, &parcel.messages, &known), Ok(1..)) {
                continue;
            }
            plan.create(&self.received(origin, parcel));
            // Queued now, so that they keep their order.
            commits.push(self.0.store.submit(plan));
        }
        let mut delivered = 0;
        for outcome in join_all(commits).await {
            match outcome {
                Ok(_) => delivered += 1,
                // It came twice at the same time.
                Err(StoreError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(delivered)
    }

    /// Those that did not come before.
    async fn unknown(
        &self,
        origin: &ServerName,
        mut parcels: Vec<DirectToDevice>,
    ) -> Result<Vec<DirectToDevice>, StoreError> {
        let mut ids = HashSet::new();
        parcels.retain(|parcel| ids.insert(parcel.message_id.clone()));
        let keys: Vec<Key> = parcels
            .iter()
            .map(|parcel| self.received(origin, parcel).key())
            .collect();
        let received = self.0.store.get_many::<ReceivedMessage>(&keys).await?;
        let parcels = parcels.into_iter().zip(received);
        Ok(parcels
            .filter_map(|(parcel, received)| received.is_none().then_some(parcel))
            .collect())
    }

    fn received(&self, origin: &ServerName, parcel: &DirectToDevice) -> ReceivedMessage {
        ReceivedMessage {
            origin: origin.to_owned(),
            message_id: parcel.message_id.clone(),
            received_ts: self.0.clock.now(),
        }
    }

    /// Forgets what came long ago, and removes messages for devices that are gone: one that is sent
    /// while its device is being removed finds the device and is not found by the removal.
    ///
    /// # Errors
    /// The database is away.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        let now = i64::from(self.0.clock.now().get());
        let age = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        self.0.store.forget_received_messages(now - age).await?;
        self.0.store.remove_orphaned_messages().await
    }

    /// Forgets what is of no use any more, now and then, until the server stops.
    pub async fn keep_forgetting(self, shutdown: CancellationToken) {
        // Only the pause is cut short: a query that is dropped leaves half a transaction.
        loop {
            if let Err(error) = self.forget_old().await {
                tracing::warn!(%error, "old messages of other servers could not be forgotten");
            }
            let pause = tokio::time::sleep(INTERVAL);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
}
