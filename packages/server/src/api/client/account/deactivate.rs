//! `POST /_matrix/client/v3/account/deactivate`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate)

use axum::extract::State;
use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    deactivate::v3::{Request, Response},
};

use super::proof;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    user::UserError,
};

/// Closes the caller's account for good.
pub async fn deactivate(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let caller = call.caller.ok_or(UserError::MissingToken)?;
    let auth = call.request.auth.as_ref();
    let deactivate = app.users.deactivate_own(&caller, call.request.erase, auth);
    proof::limited(&app, &caller, &call.remote, deactivate).await?;
    // No account has an address at an identity server: nothing is left to remove.
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}
