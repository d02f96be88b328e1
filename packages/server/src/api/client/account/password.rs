//! `POST /_matrix/client/v3/account/password`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword)

use axum::extract::State;
use ruma::api::client::account::change_password::v3::{Request, Response};

use super::proof;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    user::UserError,
};

/// Changes the caller's password. Without an access token one would prove an address instead, and
/// no account here has one.
pub async fn password(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let caller = call.caller.ok_or(UserError::MissingToken)?;
    let Request {
        new_password,
        logout_devices,
        auth,
        ..
    } = call.request;
    let change =
        app.users
            .change_own_password(&caller, new_password, logout_devices, auth.as_ref());
    proof::limited(&app, &caller, &call.remote, change).await?;
    Ok(Response::new())
}
