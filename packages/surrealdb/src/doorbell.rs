//! Hears that a log has grown: the doorbells and the watermarks that they raise.
//!
//! A bell says at most "read from where you are". One that is lost, doubled or late costs
//! latency, never data, so that a listener needs no buffer: it raises a watermark and forgets.
//! The log writer raises the watermark of its own process directly.

use std::time::Duration;

use futures_util::{StreamExt, future::BoxFuture};
use matryx_entity::{node::Bell, stored::Stored};
use metrics::counter;
use surrealdb_types::Variables;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    database::{Database, LiveQuery, read},
    error::StoreError,
    watermarks::Watermarks,
};

const LIVE: &str = "LIVE SELECT * FROM bell";

const READ: &str = "SELECT * FROM bell";

/// How long a listener waits after a failure.
const RETRY: Duration = Duration::from_millis(250);

/// How long a doorbell may take to end; a remote database that is away forgets it by itself.
const END: Duration = Duration::from_secs(1);

/// Something that tells of logs that have grown.
pub(crate) trait Doorbell: Send {
    /// Waits for the next ring: the bells that may have moved.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Bell>, StoreError>>;

    /// Lets go of what it holds in the database.
    fn end(&mut self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The name under which its rings are counted.
    fn name(&self) -> &'static str;
}

/// Raises the watermarks as the doorbell rings, until it is told to stop.
pub(crate) async fn listen(
    mut doorbell: impl Doorbell,
    watermarks: watch::Sender<Watermarks>,
    stop: CancellationToken,
) {
    loop {
        let rung = tokio::select! {
            () = stop.cancelled() => break,
            rung = doorbell.next() => rung,
        };
        match rung {
            Ok(bells) => {
                let raised = watermarks.send_if_modified(|known| {
                    let mut any = false;
                    for bell in &bells {
                        any |= known.raise(bell.node, bell.seq);
                    }
                    any
                });
                if raised {
                    counter!("matryx_doorbell_rings_total", "by" => doorbell.name()).increment(1);
                }
            }
            Err(error) => {
                tracing::debug!(%error, doorbell = doorbell.name(), "a doorbell is broken");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(RETRY) => {}
                }
            }
        }
    }
    match timeout(END, doorbell.end()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, doorbell = doorbell.name(), "not ended"),
        Err(_elapsed) => tracing::debug!(doorbell = doorbell.name(), "not ended in time"),
    }
}

/// All bells: one row per process number.
pub(crate) async fn read_bells(database: &Database) -> Result<Vec<Bell>, StoreError> {
    database
        .query(READ, Variables::new())
        .await?
        .rows(0, Bell::TABLE)
}

/// The one live query of this process. It is registered before the bells are read, so that no
/// ring falls in between, and anew when the connection was lost.
pub(crate) struct LiveDoorbell {
    database: Database,
    live: Option<LiveQuery>,
}

impl LiveDoorbell {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            live: None,
        }
    }

    async fn hear(&mut self) -> Result<Vec<Bell>, StoreError> {
        if let Some(live) = &mut self.live {
            match live.rings.next().await {
                Some(row) => return Ok(vec![read(row, Bell::TABLE)?]),
                None => self.live = None,
            }
        }
        let live = self.database.live(LIVE).await?;
        match read_bells(&self.database).await {
            Ok(bells) => {
                self.live = Some(live);
                Ok(bells)
            }
            Err(error) => {
                self.database.kill(live).await?;
                Err(error)
            }
        }
    }
}

impl Doorbell for LiveDoorbell {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Bell>, StoreError>> {
        Box::pin(self.hear())
    }

    fn end(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            match self.live.take() {
                Some(live) => self.database.kill(live).await,
                None => Ok(()),
            }
        })
    }

    fn name(&self) -> &'static str {
        "live"
    }
}

/// Looks at the bells from time to time.
pub(crate) struct PollDoorbell {
    database: Database,
    interval: Duration,
}

impl PollDoorbell {
    pub(crate) fn new(database: Database, interval: Duration) -> Self {
        Self { database, interval }
    }
}

impl Doorbell for PollDoorbell {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Bell>, StoreError>> {
        Box::pin(async {
            sleep(self.interval).await;
            read_bells(&self.database).await
        })
    }

    fn end(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn name(&self) -> &'static str {
        "poll"
    }
}
