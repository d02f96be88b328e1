//! `POST /_matrix/client/v3/rooms/{roomId}/join`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin)

use axum::extract::State;
use ruma::api::client::membership::join_room_by_id::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
    room::AliasTarget,
};

/// Joins a room by its id.
pub async fn join_by_id(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::Join, &caller)?;
    let room_id = app
        .rooms
        .join(
            caller.user_id,
            AliasTarget {
                room_id: request.room_id,
                servers: Vec::new(),
            },
            request.reason,
        )
        .await?;
    Ok(Response::new(room_id))
}
