//! Backups of room keys.

pub mod keys;
pub mod version;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(version::create)
        .add(version::current)
        .add(version::version)
        .add(version::update)
        .add(version::delete)
        .add(keys::upload)
        .add(keys::upload_for_room)
        .add(keys::upload_for_session)
        .add(keys::keys)
        .add(keys::keys_of_room)
        .add(keys::key_of_session)
        .add(keys::delete)
        .add(keys::delete_of_room)
        .add(keys::delete_of_session)
}
