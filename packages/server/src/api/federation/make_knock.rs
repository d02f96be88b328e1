//! `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid)

use axum::extract::State;
use ruma::{
    api::federation::membership::prepare_knock_event::v1::{Request, Response},
    events::room::member::MembershipState,
};

use super::{check_version, of_origin, raw};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The event that a user of the calling server is to knock with.
pub async fn make_knock(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    of_origin(&caller, &request.user_id)?;
    let room = app.rooms.resident(&request.room_id).await?;
    app.acls.check(&room, caller.server_name())?;
    check_version(&room, &request.ver)?;
    let knock = MembershipState::Knock;
    let template = app
        .rooms
        .membership_template(&room, &request.user_id, &knock);
    let template = template.await?;
    Ok(Response::new(template.version, raw(template.json)?))
}
