//! `POST /_matrix/client/v3/rooms/{roomId}/forget`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget)

use axum::extract::State;
use ruma::api::client::membership::forget_room::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Forgets a room that the caller has left.
pub async fn forget(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rooms.forget(&caller.user_id, &request.room_id).await?;
    Ok(Response::new())
}
