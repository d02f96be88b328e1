//! What every request shares: configuration, clock and the domain's services.
//!
//! Only the HTTP edge holds an [`App`]; services are given what they need when they are made.

use std::{ops::Deref, sync::Arc};

use matryx_entity::clock::Clock;
use ruma::OwnedServerName;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{appservice::Appservices, caller::Identities};

/// A handle to everything that requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Services>);

/// What [`App`] gives access to.
pub struct Services {
    /// The name of this homeserver.
    pub server_name: OwnedServerName,
    /// The longest body of a request, in bytes.
    pub max_body: usize,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The registered application services.
    pub appservices: Appservices,
    /// Access tokens, accounts and devices, as far as a caller's proof needs them.
    pub tokens: Arc<dyn Identities>,
    /// Tasks that must end before the process does.
    pub tasks: TaskTracker,
    /// Fires when the server is told to stop; long polls answer then.
    pub shutdown: CancellationToken,
}

impl App {
    /// Shares these services.
    pub fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
