//! `GET /_matrix/federation/v1/event/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1eventeventid)

use axum::extract::State;
use ruma::api::federation::event::get_event::v1::{Request, Response};

use super::{raw, shared_room};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// One event of a room that the calling server is in.
pub async fn event(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = app.rooms.room_of_event(&request.event_id).await?;
    let room = shared_room(&app, &caller, &room.room_id).await?;
    let pdu = app
        .rooms
        .event_for(&room, caller.server_name(), &request.event_id)
        .await?;
    Ok(Response::new(
        app.config.server_name.clone(),
        app.clock.now(),
        raw(pdu.json().to_string())?,
    ))
}
