//! `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid)

use axum::extract::State;
use ruma::api::client::typing::create_typing_event::v3::{Request, Response, Typing};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Says that the caller types, or no longer does.
pub async fn typing(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let Request {
        room_id,
        user_id,
        state,
        ..
    } = request;
    let lasts = match state {
        Typing::Yes(typing) => Some(typing.timeout),
        Typing::No => None,
    };
    app.rooms
        .set_typing(&caller, &room_id, &user_id, lasts)
        .await?;
    Ok(Response::new())
}
