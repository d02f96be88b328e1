//! `POST /_matrix/client/v3/knock/{roomIdOrAlias}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias)

use axum::extract::State;
use ruma::api::client::knock::knock_room::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
};

/// Asks to be let into a room.
pub async fn knock(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
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
        .knock(caller.user_id, target, request.reason)
        .await?;
    Ok(Response::new(room_id))
}
