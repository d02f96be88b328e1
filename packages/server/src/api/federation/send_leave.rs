//! `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid)

use axum::extract::State;
use ruma::{
    api::federation::membership::create_leave_event::v2::{Request, Response},
    events::room::member::MembershipState,
};

use super::admit;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Takes the leave of a user of the calling server.
pub async fn send_leave(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = app.rooms.resident(&request.room_id).await?;
    let leave = MembershipState::Leave;
    admit(
        &app,
        &caller,
        &room,
        (&request.event_id, &request.pdu),
        &leave,
    )
    .await?;
    Ok(Response::new())
}
