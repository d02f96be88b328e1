//! The client-server API.
//!
//! One folder per domain, one file per endpoint. To add an endpoint: write its file, name it in
//! its domain's module, and add one line to that module's `routes`.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/)

pub mod account;
pub mod capabilities;
pub mod dehydrated_device;
pub mod directory;
pub mod keys;
pub mod presence;
pub mod room_keys;
pub mod rooms;
pub mod send_to_device;
pub mod sync;
pub mod versions;

use super::routes::Routes;

/// Every endpoint of the client-server API.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let routes = routes
        .add(versions::versions)
        .add(capabilities::capabilities)
        .add(dehydrated_device::put)
        .add(dehydrated_device::get)
        .add(dehydrated_device::delete)
        .add(dehydrated_device::events::events)
        .add(send_to_device::send_to_device)
        .add_long_poll(sync::sync);
    let routes = account::routes(routes);
    let routes = directory::routes(routes);
    let routes = room_keys::routes(routes);
    let routes = presence::routes(routes);
    let routes = keys::routes(routes);
    rooms::routes(routes)
}
