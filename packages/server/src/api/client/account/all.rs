//! `POST /_matrix/client/v3/logout/all`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logoutall)

use axum::extract::State;
use ruma::api::client::session::logout_all::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Ends all of the caller's sessions and removes all devices.
pub async fn all(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    app.users.log_out_everywhere(&call.caller.user_id).await?;
    Ok(Response::new())
}
