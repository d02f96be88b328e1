//! `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_leaveroomiduserid)

use axum::extract::State;
use ruma::{
    api::federation::membership::prepare_leave_event::v1::{Request, Response},
    events::room::member::MembershipState,
};

use super::{of_origin, raw};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The event that a user of the calling server is to leave with.
pub async fn make_leave(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    of_origin(&caller, &request.user_id)?;
    let room = app.rooms.resident(&request.room_id).await?;
    app.acls.check(&room, caller.server_name())?;
    let leave = MembershipState::Leave;
    let template = app
        .rooms
        .membership_template(&room, &request.user_id, &leave);
    let template = template.await?;
    Ok(Response::new(Some(template.version), raw(template.json)?))
}
