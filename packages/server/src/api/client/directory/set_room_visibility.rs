//! `PUT /_matrix/client/v3/directory/list/room/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid)

use axum::extract::State;
use ruma::api::client::directory::set_room_visibility::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Lists a room, or takes it off the list.
pub async fn set_room_visibility(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let Request {
        room_id,
        visibility,
        ..
    } = request;
    let publication = app.config.room_directory.publication;
    app.rooms
        .set_directory_visibility(&caller, &room_id, &visibility, publication)
        .await?;
    Ok(Response::new())
}
