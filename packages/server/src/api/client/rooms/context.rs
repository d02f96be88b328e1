//! `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid)

use axum::extract::State;
use ruma::api::client::context::get_context::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// An event and what surrounds it.
pub async fn context(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let Request {
        room_id,
        event_id,
        limit,
        filter,
        ..
    } = request;
    let context = app
        .rooms
        .context(&caller, &room_id, &event_id, limit, &filter)
        .await?;
    let mut response = Response::new();
    response.start = Some(context.start.to_string());
    response.end = Some(context.end.to_string());
    response.events_before = context.before;
    response.event = Some(context.event);
    response.events_after = context.after;
    response.state = context.state;
    Ok(response)
}
