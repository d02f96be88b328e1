//! `GET /_matrix/client/v3/directory/room/{roomAlias}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directoryroomroomalias)

use axum::extract::State;
use ruma::api::client::alias::get_alias::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Where an alias leads.
pub async fn get_alias(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let target = app.rooms.resolve_alias(&request.room_alias).await?;
    Ok(Response::new(target.room_id, target.servers))
}
