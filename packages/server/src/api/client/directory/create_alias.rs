//! `PUT /_matrix/client/v3/directory/room/{roomAlias}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directoryroomroomalias)

use axum::extract::State;
use ruma::api::client::alias::create_alias::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Makes an alias.
pub async fn create_alias(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let Request {
        room_alias,
        room_id,
        ..
    } = request;
    app.rooms
        .create_alias(&caller, &app.appservices, room_alias, &room_id)
        .await?;
    Ok(Response::new())
}
