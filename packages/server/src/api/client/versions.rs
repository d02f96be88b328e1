//! `GET /_matrix/client/versions`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions)

use axum::extract::State;
use ruma::api::client::discovery::get_supported_versions::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The versions of the specification that clients may rely on. Version 1.11 moves media behind
/// access tokens, which clients take from its name here.
const VERSIONS: [&str; 12] = [
    "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9",
    "v1.10",
];

/// What newer versions, or proposals, have and this server too.
const FEATURES: [&str; 3] = [
    // Profiles with any field, of version 1.16.
    "uk.tcpip.msc4133.stable",
    // Private read receipts, of version 1.4.
    "org.matrix.msc2285.stable",
    // Dehydrated devices.
    "org.matrix.msc3814",
];

/// Names the versions of the specification that this server serves.
pub async fn versions(State(_): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let mut response = Response::new(VERSIONS.map(str::to_owned).to_vec());
    response.unstable_features = FEATURES.map(|name| (name.to_owned(), true)).into();
    Ok(response)
}
