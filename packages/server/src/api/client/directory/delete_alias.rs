//! `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias)

use axum::extract::State;
use ruma::api::client::alias::delete_alias::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Removes an alias.
pub async fn delete_alias(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    app.rooms
        .delete_alias(&caller, &app.appservices, request.room_alias)
        .await?;
    Ok(Response::new())
}
