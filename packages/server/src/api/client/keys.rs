//! Keys of devices, for end-to-end encryption.

pub mod changes;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.add(changes::changes)
}
