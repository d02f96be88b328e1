//! `GET /_matrix/client/v3/rooms/{roomId}/aliases`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidaliases)

use axum::extract::State;
use ruma::api::client::room::aliases::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The aliases of this server that lead to a room.
pub async fn aliases(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    Ok(Response::new(
        app.rooms.aliases(&caller, &request.room_id).await?,
    ))
}
