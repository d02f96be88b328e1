//! Who is online.

pub mod status;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.add(status::status).add(status::set_status)
}
