//! `GET /_matrix/client/v3/joined_rooms`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms)

use axum::extract::State;
use ruma::api::client::membership::joined_rooms::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The rooms that the caller is joined to.
pub async fn joined_rooms(
    State(app): State<App>,
    Call { caller, .. }: Call<Request>,
) -> ApiResult<Response> {
    Ok(Response::new(app.rooms.joined_rooms(&caller).await?))
}
