//! `POST /_matrix/client/v3/delete_devices`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3delete_devices)

use axum::extract::State;
use ruma::api::client::device::delete_devices::v3::{Request, Response};

use super::proof;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Removes several of the caller's devices, after proof.
pub async fn delete_devices(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Request { devices, auth, .. } = call.request;
    let delete = app
        .users
        .delete_own_devices(&call.caller, &devices, auth.as_ref());
    proof::limited(&app, &call.caller, &call.remote, delete).await?;
    Ok(Response::new())
}
