//! `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event)

use axum::extract::State;
use ruma::api::client::room::get_event_by_timestamp::v1::{Request, Response};

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
    let Request {
        room_id, ts, dir, ..
    } = request;
    let (event_id, ts) = app.rooms.event_near(&caller, &room_id, ts, dir).await?;
    Ok(Response::new(event_id, ts))
}
