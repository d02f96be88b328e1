//! `POST /_matrix/client/v3/join/{roomIdOrAlias}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias)

use axum::extract::State;
use ruma::api::client::membership::join_room_by_id_or_alias::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
};

/// Joins a room by its id or an alias.
pub async fn join(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::Join, &caller)?;
    let target = app
        .rooms
        .find(&request.room_id_or_alias, request.via)
        .await?;
    let room_id = app
        .rooms
        .join(caller.user_id, target, request.reason)
        .await?;
    Ok(Response::new(room_id))
}
