//! `POST /_matrix/client/v3/logout`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout)

use axum::extract::State;
use ruma::api::client::session::logout::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Ends the caller's session and removes its device.
pub async fn logout(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    app.users.log_out(&call.caller).await?;
    Ok(Response::new())
}
