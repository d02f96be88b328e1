//! `GET /_matrix/federation/v1/state/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid)

use axum::extract::State;
use ruma::api::federation::event::get_room_state::v1::{Request, Response};

use super::{raw_all, shared_room};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The state of a room before an event.
pub async fn state(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = shared_room(&app, &caller, &request.room_id).await?;
    let before = app.rooms.state_for_server(&room, &request.event_id).await?;
    Ok(Response::new(
        raw_all(&before.auth_chain)?,
        raw_all(&before.state)?,
    ))
}
