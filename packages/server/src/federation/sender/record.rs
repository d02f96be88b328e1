//! What the sender writes down: a record for each server that lags, and one mark for all others.

use matryx_entity::{
    delivery_mark::DeliveryMark, destination::Destination, key, position::Position,
};
use matryx_surrealdb::{KeyRange, Plan, StoreError};
use ruma::{OwnedServerName, ServerName};

use super::{Shared, reach::Reach};

impl Shared {
    /// All servers that lagged when they were last written down.
    pub(super) async fn read_records(&self) -> Result<Vec<Destination>, StoreError> {
        self.deps.store.range(KeyRange::all()).await
    }

    /// Writes down that a server lags, if it still does.
    pub(super) async fn record(&self, server: &OwnedServerName) -> Result<(), StoreError> {
        let record = {
            let state = self.state.lock();
            let lag = state.outboxes.get(server).and_then(|it| it.lag.as_ref());
            let Some(lag) = lag else { return Ok(()) };
            Destination {
                server: server.clone(),
                delivered: lag.delivered.positions().collect(),
                failures: lag.failures,
                failing_since: lag.failing_since,
                retry_at: lag.retry_at,
                reason: lag.reason.clone(),
            }
        };
        let mut plan = Plan::new();
        plan.put(&record);
        self.deps.store.commit(plan).await?;
        let mut state = self.state.lock();
        if let Some(lag) = state
            .outboxes
            .get_mut(server)
            .and_then(|it| it.lag.as_mut())
        {
            lag.recorded = true;
        }
        Ok(())
    }

    /// Strikes out a server that no longer lags.
    pub(super) async fn strike_out(&self, server: &ServerName) -> Result<(), StoreError> {
        let mut plan = Plan::new();
        plan.delete::<Destination>(&key![server.as_str()]);
        self.deps.store.commit(plan).await.map(drop)
    }

    /// The mark of the last process; none at the very first start.
    pub(super) async fn read_mark(&self) -> Result<Option<Reach>, StoreError> {
        let mark: Option<DeliveryMark> = self.deps.store.get(&DeliveryMark::only()).await?;
        Ok(mark.map(|mark| Reach::new(mark.delivered)))
    }

    /// Writes down up to where everybody who does not lag has everything, if that has moved.
    pub(super) async fn write_mark(&self) -> Result<(), StoreError> {
        let mark = {
            let state = self.state.lock();
            let mark = state.mark();
            if state.marked.as_ref() == Some(&mark) {
                return Ok(());
            }
            mark
        };
        let delivered: Vec<Position> = mark.positions().collect();
        let mut plan = Plan::new();
        plan.put(&DeliveryMark { delivered });
        self.deps.store.commit(plan).await?;
        self.state.lock().marked = Some(mark);
        Ok(())
    }
}
