//! `POST /_matrix/client/v3/refresh`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh)

use axum::extract::State;
use ruma::api::client::session::refresh_token::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
    user::UserError,
};

/// Exchanges a refresh token for new tokens.
pub async fn refresh(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let refreshed = app.users.refresh(&call.request.refresh_token).await;
    if let Err(UserError::UnknownToken) = &refreshed {
        app.rate_limits.act_from(Act::Login, call.remote.ip)?;
    }
    let session = refreshed?;
    let mut response = Response::new(session.access_token);
    response.refresh_token = session.refresh_token;
    response.expires_in_ms = session.expires_in;
    Ok(response)
}
