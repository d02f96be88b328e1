//! `PUT /_matrix/federation/v1/invite/{roomId}/{eventId}`
//! `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid)

use axum::extract::State;
use matryx_entity::room_versions;
use ruma::{
    RoomVersionId,
    api::{
        error::{ErrorKind, IncompatibleRoomVersionErrorData},
        federation::membership::create_invite::{
            v1,
            v2::{Request, Response},
        },
    },
};

use super::raw;
use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
    rate_limit::Act,
    room::ReceivedInvite,
};

/// Takes the invite of one of our users, and signs it.
pub async fn invite(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let origin = caller.server_name();
    app.rate_limits
        .take(Act::InviteFromServer, origin.as_str())?;
    if !room_versions::is_supported(&request.room_version) {
        return Err(unsupported(request.room_version));
    }
    if let Ok(room) = app.rooms.resident(&request.room_id).await {
        app.acls.check(&room, origin)?;
    }
    let invite = ReceivedInvite {
        room_id: request.room_id,
        event_id: request.event_id,
        version: request.room_version,
        event: request.event,
        state: request.invite_room_state,
    };
    let signed = app.rooms.receive_invite(origin, invite).await?;
    Ok(Response::new(raw(signed)?))
}

/// The first version of this endpoint does not say of which version the room is, because it is for
/// the first version of rooms alone, which this server does not support. Who asks goes on with that.
pub async fn invite_v1(State(_): State<App>, _: Call<v1::Request>) -> ApiResult<v1::Response> {
    Err(unsupported(RoomVersionId::V1))
}

fn unsupported(version: RoomVersionId) -> ApiError {
    ApiError::bad_request(
        ErrorKind::IncompatibleRoomVersion(IncompatibleRoomVersionErrorData::new(version)),
        "This server does not support the version of the room",
    )
}
