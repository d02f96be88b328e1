//! `POST /_matrix/client/v3/keys/device_signing/upload`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload)

use axum::extract::State;
use ruma::api::client::keys::upload_signing_keys::v3::{Request, Response};

use crate::{
    api::{client::account::proof, error::ApiResult, extract::Call},
    app::App,
    e2ee::SigningKeys,
};

/// Publishes cross-signing keys of the caller, after proof if they replace others.
pub async fn upload(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Request {
        auth,
        master_key,
        self_signing_key,
        user_signing_key,
        ..
    } = call.request;
    let keys = SigningKeys {
        master: master_key,
        self_signing: self_signing_key,
        user_signing: user_signing_key,
    };
    let upload = app
        .e2ee
        .upload_signing_keys(&call.caller, &keys, auth.as_ref());
    proof::limited(&app, &call.caller, &call.remote, upload).await?;
    Ok(Response::new())
}
