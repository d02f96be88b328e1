//! `GET /_matrix/client/v3/rooms/{roomId}/state`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate)

use axum::extract::State;
use ruma::api::client::state::get_state_events::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The state of a room.
pub async fn get_state(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    Ok(Response::new(
        app.rooms.state(&caller, &request.room_id).await?,
    ))
}
