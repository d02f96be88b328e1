//! The room directory: aliases, and the list of public rooms.

pub mod create_alias;
pub mod delete_alias;
pub mod get_alias;
pub mod get_room_visibility;
pub mod public_rooms;
pub mod public_rooms_filtered;
pub mod set_room_visibility;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(create_alias::create_alias)
        .add(delete_alias::delete_alias)
        .add(get_alias::get_alias)
        .add(get_room_visibility::get_room_visibility)
        .add(set_room_visibility::set_room_visibility)
        .add(public_rooms::public_rooms)
        .add(public_rooms_filtered::public_rooms_filtered)
}
