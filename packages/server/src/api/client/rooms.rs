//! Rooms: creating them, their members, events, state and directory.

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
}
