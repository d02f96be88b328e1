//! `GET /_matrix/client/v3/rooms/{roomId}/members`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers)

use axum::extract::State;
use ruma::api::client::membership::get_member_events::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::MembersRequest,
};

/// The member events of a room.
pub async fn members(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let wanted = MembersRequest {
        at: request.at.as_deref(),
        membership: request.membership,
        not_membership: request.not_membership,
    };
    let chunk = app.rooms.members(&caller, &request.room_id, wanted).await?;
    Ok(Response::new(chunk))
}
