//! Serving: from a configuration to open listeners, and from a signal to a clean end.

mod identity;
mod listener;
mod run;
mod start;
mod tls;
mod user_rooms;

use std::{net::SocketAddr, sync::Arc};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::start::federation;
pub use self::{
    identity::{Rotated, rotate_signing_key},
    listener::ListenError,
    run::{Opened, RunError, run},
    start::{StartError, Started, start, start_on},
    tls::{TlsError, check_certificate},
};
use self::{
    listener::{Doorman, Listener},
    tls::Certificate,
};
use crate::{app::App, control};

/// A server whose listeners are open.
pub struct Server {
    app: App,
    addresses: Vec<SocketAddr>,
    certificates: Vec<Arc<Certificate>>,
    doorman: Doorman,
    listeners: TaskTracker,
}

impl Server {
    /// Opens every listener of the configuration. Requests are served from then on.
    ///
    /// # Errors
    /// When an address can't be bound or a certificate can't be used.
    pub async fn open(app: App) -> Result<Self, ListenError> {
        let mut bound = Vec::new();
        for listener in &app.config.listen {
            bound.push(Listener::bind(listener.clone()).await?);
        }
        let places = usize::try_from(app.config.http.max_connections).unwrap_or(usize::MAX);
        let doorman = Doorman {
            app: app.clone(),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
            graceful: Arc::new(GracefulShutdown::new()),
        };
        let server = Self {
            addresses: bound.iter().map(Listener::address).collect(),
            certificates: bound
                .iter()
                .filter_map(Listener::certificate)
                .cloned()
                .collect(),
            listeners: TaskTracker::new(),
            doorman,
            app,
        };
        for listener in bound {
            server
                .listeners
                .spawn(listener.serve(server.doorman.clone()));
        }
        control::listen(&server.app);
        Ok(server)
    }

    /// The addresses that are listened on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reads changed certificates again.
    pub fn refresh_certificates(&self) {
        for certificate in &self.certificates {
            certificate.refresh();
        }
    }

    /// Stops: accepts no more, lets long polls answer and open requests finish, commits what is
    /// queued and closes the database.
    pub async fn close(self) {
        let Self {
            app,
            doorman,
            listeners,
            ..
        } = self;
        doorman.closing.cancel();
        app.shutdown.cancel();
        app.sync.stop_waiting();
        listeners.close();
        listeners.wait().await;
        let patience = app.config.http.shutdown_timeout;
        let Doorman {
            connections,
            graceful,
            ..
        } = doorman;
        connections.close();
        let finished = async {
            if let Some(graceful) = Arc::into_inner(graceful) {
                graceful.shutdown().await;
            }
            connections.wait().await;
            app.tasks.close();
            app.tasks.wait().await;
        };
        if timeout(patience, finished).await.is_err() {
            tracing::warn!("requests that did not finish in time were dropped");
        }
        app.store.close().await;
    }
}
