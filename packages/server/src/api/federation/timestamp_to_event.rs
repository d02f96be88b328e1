//! `GET /_matrix/federation/v1/timestamp_to_event/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid)

use axum::extract::State;
use ruma::api::federation::event::get_event_by_timestamp::v1::{Request, Response};

use super::shared_room;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The event closest to a moment.
pub async fn timestamp_to_event(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = shared_room(&app, &caller, &request.room_id).await?;
    let server = caller.server_name();
    let (ts, direction) = (request.ts, request.dir);
    let found = app.rooms.event_near_for(&room, server, ts, direction);
    let (event_id, ts) = found.await?;
    Ok(Response::new(event_id, ts))
}
