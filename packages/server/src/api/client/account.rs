//! Accounts: registration, sessions, devices, profiles and what users keep for themselves.

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
}
