//! `POST /_matrix/client/v3/keys/query`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery)

use axum::extract::State;
use ruma::api::client::keys::get_keys::v3::{Request, Response};

use super::{USUAL_TIMEOUT, failures};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The keys of users and their devices, as the caller may see them.
pub async fn query(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Request {
        timeout,
        device_keys: wanted,
        ..
    } = call.request;
    let timeout = timeout.unwrap_or(USUAL_TIMEOUT);
    let found = app
        .e2ee
        .query(&call.caller.user_id, wanted, timeout)
        .await?;
    let mut response = Response::new();
    response.device_keys = found.device_keys;
    response.master_keys = found.master_keys;
    response.self_signing_keys = found.self_signing_keys;
    response.user_signing_keys = found.user_signing_keys;
    response.failures = failures(found.failures);
    Ok(response)
}
