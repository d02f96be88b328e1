//! `POST /_matrix/client/v3/keys/upload`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload)

use axum::extract::State;
use ruma::api::client::keys::upload_keys::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    e2ee::KeyUpload,
};

/// Publishes keys of the caller's device.
pub async fn upload(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Request {
        device_keys,
        one_time_keys,
        fallback_keys,
        ..
    } = call.request;
    let upload = KeyUpload {
        device_keys,
        one_time_keys,
        fallback_keys,
    };
    let counts = app.e2ee.upload(&call.caller, upload).await?;
    Ok(Response::new(counts))
}
