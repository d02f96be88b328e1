//! The files under `/.well-known/matrix/`, each served once it has a content.

pub mod client;
pub mod server;
pub mod support;

use super::routes::Routes;

/// The well-known files.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(client::client)
        .add(server::server)
        .add(support::support)
}
