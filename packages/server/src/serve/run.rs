//! The life of the process, from start to signal to end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use super::{ListenError, Server, StartError, Started, start};
use crate::{
    clock::SystemClock,
    config::{self, Config},
    telemetry::Telemetry,
};

/// How often the files of certificates are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_mins(1);

/// A server that serves, for who tells the operator.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The listeners, each with its real address.
    pub listeners: Vec<(config::Listener, SocketAddr)>,
    /// The token with which the first administrator registers, while there is none.
    pub first_admin_token: Option<String>,
}

/// Why the server ended, other than by being told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// It can't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It can't listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It can't hear signals.
    #[error("cannot listen for signals")]
    Signals(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT, and then ends cleanly. SIGHUP reads certificates again.
///
/// # Errors
/// When the server can't start or listen.
pub async fn run(
    config: Config,
    telemetry: Telemetry,
    announce: impl FnOnce(&Opened),
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let started = start(config, Arc::new(SystemClock), telemetry.clone()).await?;
    let Started {
        app,
        first_admin_token,
    } = started;
    let server = Server::open(app.clone()).await?;
    let listeners = app.config.listen.iter().cloned();
    announce(&Opened {
        listeners: listeners.zip(server.addresses().iter().copied()).collect(),
        first_admin_token,
    });
    let upkeep = telemetry.upkeep();
    tokio::pin!(upkeep);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => server.refresh_certificates(),
            () = tokio::time::sleep(CERTIFICATE_CHECK) => server.refresh_certificates(),
            () = &mut upkeep => {}
        }
    }
    tracing::info!("stopping");
    server.close().await;
    tracing::info!("stopped");
    Ok(())
}
