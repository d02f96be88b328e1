//! `POST /_matrix/client/v3/keys/signatures/upload`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload)

use axum::extract::State;
use ruma::api::client::keys::upload_signatures::v3::{Failure, Request, Response};
use serde_json::json;

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
    e2ee::SignatureFailure,
};

/// Publishes signatures that the caller made of its own keys, and keeps those of others for it.
pub async fn upload(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let user = &call.caller.user_id;
    let signed = &call.request.signed_keys;
    let failures = app.e2ee.upload_signatures(user, signed).await?;
    let mut response = Response::new();
    for (user, keys) in failures {
        let told = response.failures.entry(user).or_default();
        for (key, failure) in keys {
            told.insert(key, explained(failure)?);
        }
    }
    Ok(response)
}

fn explained(failure: SignatureFailure) -> ApiResult<Failure> {
    let (errcode, error) = match failure {
        SignatureFailure::NotFound => ("M_NOT_FOUND", "There is no such key"),
        SignatureFailure::Mismatch => ("M_INVALID_PARAM", "This is not the key that is known"),
        SignatureFailure::Signature => ("M_INVALID_SIGNATURE", "Invalid signature"),
    };
    let failure = serde_json::from_value(json!({ "errcode": errcode, "error": error }));
    failure.map_err(|error| ApiError::internal(&error))
}
