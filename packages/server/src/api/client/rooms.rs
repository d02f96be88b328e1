//! Rooms: creating them, their members, events, state and directory.

pub mod ban;
pub mod create_room;
pub mod forget;
pub mod invite;
pub mod join;
pub mod join_by_id;
pub mod kick;
pub mod knock;
pub mod leave;
pub mod put_state;
pub mod redact;
pub mod send;
pub mod unban;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(create_room::create_room)
        .add(send::send)
        .add(put_state::put_state)
        .add(redact::redact)
        .add(join::join)
        .add(join_by_id::join_by_id)
        .add(knock::knock)
        .add(leave::leave)
        .add(forget::forget)
        .add(invite::invite)
        .add(kick::kick)
        .add(ban::ban)
        .add(unban::unban)
}
