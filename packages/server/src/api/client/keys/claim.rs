//! `POST /_matrix/client/v3/keys/claim`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim)

use axum::extract::State;
use ruma::api::client::keys::claim_keys::v3::{Request, Response};

use super::{USUAL_TIMEOUT, failures};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Claims one-time keys of devices.
pub async fn claim(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Request {
        timeout,
        one_time_keys: claims,
        ..
    } = call.request;
    let timeout = timeout.unwrap_or(USUAL_TIMEOUT);
    let claimed = app.e2ee.claim(claims, timeout).await?;
    let mut response = Response::new(claimed.one_time_keys);
    response.failures = failures(claimed.failures);
    Ok(response)
}
