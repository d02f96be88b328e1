//! `GET /_matrix/client/v3/rooms/{roomId}/messages`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages)

use axum::extract::State;
use ruma::api::client::message::get_message_events::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::PageRequest,
};

/// A page of a room's timeline.
pub async fn messages(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let wanted = PageRequest {
        from: request.from.as_deref(),
        to: request.to.as_deref(),
        direction: request.dir,
        limit: request.limit,
        filter: &request.filter,
    };
    let page = app
        .rooms
        .messages(&caller, &request.room_id, wanted)
        .await?;
    let mut response = Response::new();
    response.start = page.start.to_string();
    response.end = page.end.map(|end| end.to_string());
    response.chunk = page.chunk;
    response.state = page.state;
    Ok(response)
}
