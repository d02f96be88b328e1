//! The server-server API.
//!
//! One file per endpoint. A handler gets the server that proved to have signed the request as
//! `call.caller`.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/)

pub mod directory;
pub mod profile;
pub mod version;

use super::routes::Routes;

/// Every endpoint of the server-server API.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(version::version)
        .add(directory::directory)
        .add(profile::profile)
}
