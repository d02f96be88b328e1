//! `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid)

use axum::extract::State;
use ruma::api::client::room::get_room_event::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// One event.
pub async fn event(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let event = app
        .rooms
        .event(&caller, &request.room_id, &request.event_id)
        .await?;
    Ok(Response::new(event))
}
