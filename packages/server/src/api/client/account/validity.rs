//! `GET /_matrix/client/v1/register/m.login.registration_token/validity`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity)

use axum::extract::State;
use ruma::api::client::account::check_registration_token_validity::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
};

/// Says whether a registration token could be used now.
pub async fn validity(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    app.rate_limits.act_from(Act::Register, call.remote.ip)?;
    let token = &call.request.token;
    let valid = app.users.is_registration_token_valid(token).await?;
    Ok(Response::new(valid))
}
