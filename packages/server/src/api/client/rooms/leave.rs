//! `POST /_matrix/client/v3/rooms/{roomId}/leave`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidleave)

use axum::extract::State;
use ruma::api::client::membership::leave_room::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Leaves a room, rejects an invite or takes back a knock.
pub async fn leave(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rooms
        .leave(caller.user_id, request.room_id, request.reason)
        .await?;
    Ok(Response::new())
}
