//! `GET /_matrix/federation/v1/make_join/{roomId}/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_joinroomiduserid)

use axum::extract::State;
use ruma::{
    api::federation::membership::prepare_join_event::v1::{Request, Response},
    events::room::member::MembershipState,
};

use super::{check_version, of_origin, raw};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The event that a user of the calling server is to join with.
pub async fn make_join(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    of_origin(&caller, &request.user_id)?;
    let room = app.rooms.resident(&request.room_id).await?;
    app.acls.check(&room, caller.server_name())?;
    check_version(&room, &request.ver)?;
    let join = MembershipState::Join;
    let template = app
        .rooms
        .membership_template(&room, &request.user_id, &join);
    let template = template.await?;
    let mut response = Response::new(raw(template.json)?);
    response.room_version = Some(template.version);
    Ok(response)
}
