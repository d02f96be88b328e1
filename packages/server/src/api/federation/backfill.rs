//! `GET /_matrix/federation/v1/backfill/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1backfillroomid)

use axum::extract::State;
use ruma::api::federation::backfill::get_backfill::v1::{Request, Response};

use super::{count, raw_all, shared_room};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Events and what was before them.
pub async fn backfill(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = shared_room(&app, &caller, &request.room_id).await?;
    let server = caller.server_name();
    let limit = count(request.limit);
    let pdus = app.rooms.backfill_for(&room, server, &request.v, limit);
    Ok(Response::new(
        app.config.server_name.clone(),
        app.clock.now(),
        raw_all(&pdus.await?)?,
    ))
}
