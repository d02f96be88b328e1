//! `POST /_matrix/client/v3/rooms/{roomId}/ban`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidban)

use axum::extract::State;
use ruma::api::client::membership::ban_user::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::Sanction,
};

/// Bans a user from a room.
pub async fn ban(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rooms
        .sanction(
            Sanction::Ban,
            caller.user_id,
            request.room_id,
            request.user_id,
            request.reason,
        )
        .await?;
    Ok(Response::new())
}
