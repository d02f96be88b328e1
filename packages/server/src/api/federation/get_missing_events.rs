//! `POST /_matrix/federation/v1/get_missing_events/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1get_missing_eventsroomid)

use axum::extract::State;
use ruma::api::federation::event::get_missing_events::v1::{Request, Response};

use super::{count, raw_all, shared_room};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::Gap,
};

/// The events of a gap in what the calling server knows of a room.
pub async fn get_missing_events(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = shared_room(&app, &caller, &request.room_id).await?;
    let gap = Gap {
        latest: &request.latest_events,
        earliest: &request.earliest_events,
        limit: count(request.limit),
        min_depth: request.min_depth.into(),
    };
    let pdus = app.rooms.missing_for(&room, caller.server_name(), gap);
    Ok(Response::new(raw_all(&pdus.await?)?))
}
