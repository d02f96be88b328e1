//! `GET /_matrix/client/v3/register/available`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3registeravailable)

use axum::extract::State;
use ruma::api::client::account::get_username_availability::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
};

/// Says whether a name can be registered.
pub async fn available(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    app.rate_limits.act_from(Act::Register, call.remote.ip)?;
    app.users.check_name(&call.request.username).await?;
    Ok(Response::new(true))
}
