//! The server-server API.
//!
//! One file per endpoint. A handler gets the server that proved to have signed the request as
//! `call.caller`.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/)

use std::sync::Arc;

use matryx_entity::{pdu::Pdu, room_snapshot::RoomSnapshot};
use ruma::{
    EventId, RoomId, RoomVersionId, UInt, UserId,
    api::error::{ErrorKind, IncompatibleRoomVersionErrorData},
    events::room::member::MembershipState,
};
use serde_json::value::RawValue;

pub mod backfill;
pub mod claim_keys;
pub mod devices;
pub mod directory;
pub mod event;
pub mod event_auth;
pub mod exchange_third_party_invite;
pub mod get_missing_events;
pub mod invite;
pub mod make_join;
pub mod make_knock;
pub mod make_leave;
pub mod onbind;
pub mod profile;
pub mod public_rooms;
pub mod public_rooms_filtered;
pub mod query;
pub mod query_keys;
pub mod send;
pub mod send_join;
pub mod send_knock;
pub mod send_leave;
pub mod state;
pub mod state_ids;
pub mod timestamp_to_event;
pub mod userinfo;
pub mod version;

use super::{
    error::{ApiError, ApiResult},
    routes::Routes,
};
use crate::{
    app::App,
    caller::Origin,
    room::{Judged, NotJudged, RoomError, check_is_in},
};

/// Every endpoint of the server-server API.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(version::version)
        .add(directory::directory)
        .add(profile::profile)
        .add(query::query)
        .add(send::send)
        .add(invite::invite)
        .add(make_join::make_join)
        .add(send_join::send_join)
        .add(make_leave::make_leave)
        .add(send_join::send_join_v1)
        .add(send_leave::send_leave)
        .add(send_leave::send_leave_v1)
        .add(make_knock::make_knock)
        .add(send_knock::send_knock)
        .add(exchange_third_party_invite::exchange_third_party_invite)
        .add(onbind::onbind)
        .add(public_rooms::public_rooms)
        .add(userinfo::userinfo)
        .add(devices::devices)
        .add(query_keys::query_keys)
        .add(invite::invite_v1)
        .add(claim_keys::claim_keys)
        .add(public_rooms_filtered::public_rooms_filtered)
        .add(event::event)
        .add(state::state)
        .add(state_ids::state_ids)
        .add(event_auth::event_auth)
        .add(backfill::backfill)
        .add(get_missing_events::get_missing_events)
        .add(timestamp_to_event::timestamp_to_event)
}

/// The text of an event as it goes out, byte for byte.
fn raw(json: String) -> ApiResult<Box<RawValue>> {
    RawValue::from_string(json).map_err(|error| ApiError::internal(&error))
}

fn raw_all(pdus: &[Arc<Pdu>]) -> ApiResult<Vec<Box<RawValue>>> {
    pdus.iter().map(|pdu| raw(pdu.json().to_string())).collect()
}

/// A number of events that is asked for; each endpoint has its own bound.
fn count(limit: UInt) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A room that the calling server may ask about: it is in the room, as this one is, and the room
/// does not keep it out.
async fn shared_room(app: &App, origin: &Origin, room_id: &RoomId) -> ApiResult<Arc<RoomSnapshot>> {
    let server = origin.server_name();
    let room = app.rooms.resident(room_id).await?;
    app.acls.check(&room, server)?;
    check_is_in(&room, server)?;
    Ok(room)
}

/// Can the calling server handle the events of the room?
fn check_version(room: &RoomSnapshot, supported: &[RoomVersionId]) -> ApiResult<()> {
    if supported.contains(&room.version) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        ErrorKind::IncompatibleRoomVersion(IncompatibleRoomVersionErrorData::new(
            room.version.clone(),
        )),
        "Your server does not support the version of this room",
    ))
}

/// A server speaks for its own users only.
fn of_origin(origin: &Origin, user: &UserId) -> ApiResult<()> {
    if user.server_name() == origin.server_name() {
        return Ok(());
    }
    Err(ApiError::forbidden("The user is of another server"))
}

/// Takes the membership event of a user of the calling server into the room.
async fn admit(
    app: &App,
    origin: &Origin,
    room: &RoomSnapshot,
    (event_id, pdu): (&EventId, &RawValue),
    membership: &MembershipState,
) -> ApiResult<Arc<Pdu>> {
    app.acls.check(room, origin.server_name())?;
    let event = app
        .rooms
        .read_handshake(room, origin.server_name(), membership, pdu)
        .await?;
    if event.event_id() != event_id {
        return Err(RoomError::InvalidParam("the event has another id".to_owned()).into());
    }
    let event = app.key_ring.verify(event).await;
    let event = event.map_err(|error| ApiError::invalid_param(error.to_string()))?;
    match app.rooms.receive_handshake(room.no, event).await {
        Ok((Judged::Accepted | Judged::Known, pdu)) => Ok(pdu),
        Ok((Judged::Rejected(reason) | Judged::SoftFailed(reason), _)) => {
            Err(RoomError::Unauthorized(reason).into())
        }
        Err(NotJudged::Room(error)) => Err(error.into()),
        Err(error) => Err(RoomError::InvalidParam(error.to_string()).into()),
    }
}
