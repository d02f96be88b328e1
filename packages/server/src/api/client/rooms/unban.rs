//! `POST /_matrix/client/v3/rooms/{roomId}/unban`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidunban)

use axum::extract::State;
use ruma::api::client::membership::unban_user::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::Sanction,
};

/// Takes a ban back.
pub async fn unban(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rooms
        .sanction(
            Sanction::Unban,
            caller.user_id,
            request.room_id,
            request.user_id,
            request.reason,
        )
        .await?;
    Ok(Response::new())
}
