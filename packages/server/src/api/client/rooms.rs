//! Rooms: creating them, their members, events, state and directory.

pub mod aliases;
pub mod ban;
pub mod context;
pub mod create_room;
pub mod event;
pub mod forget;
pub mod get_state;
pub mod get_state_event;
pub mod invite;
pub mod join;
pub mod join_by_id;
pub mod joined_members;
pub mod joined_rooms;
pub mod kick;
pub mod knock;
pub mod leave;
pub mod members;
pub mod messages;
pub mod put_state;
pub mod read_markers;
pub mod receipt;
pub mod redact;
pub mod send;
pub mod timestamp_to_event;
pub mod typing;
pub mod unban;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(create_room::create_room)
        .add(send::send)
        .add_with_empty_last(put_state::put_state)
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
        .add(aliases::aliases)
        .add(context::context)
        .add(event::event)
        .add(get_state::get_state)
        .add_with_empty_last(get_state_event::get_state_event)
        .add(joined_members::joined_members)
        .add(joined_rooms::joined_rooms)
        .add(members::members)
        .add(messages::messages)
        .add(read_markers::read_markers)
        .add(receipt::receipt)
        .add(timestamp_to_event::timestamp_to_event)
        .add(typing::typing)
}
