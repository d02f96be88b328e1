//! `GET /_matrix/federation/v1/query/directory`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1querydirectory)

use axum::extract::State;
use ruma::api::federation::query::get_room_information::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Where an alias of this server leads.
pub async fn directory(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let target = app.rooms.resolve_own_alias(&request.room_alias).await?;
    Ok(Response::new(target.room_id, target.servers))
}
