//! `GET /_matrix/client/v3/directory/list/room/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid)

use axum::extract::State;
use ruma::api::client::directory::get_room_visibility::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Is a room listed?
pub async fn get_room_visibility(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    Ok(Response::new(
        app.rooms.directory_visibility(&request.room_id).await?,
    ))
}
