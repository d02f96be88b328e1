//! `GET /_matrix/client/versions`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions)

use axum::extract::State;
use ruma::api::client::discovery::get_supported_versions::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The versions of the specification that clients may rely on.
const VERSIONS: [&str; 19] = [
    "r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2",
    "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11",
];

/// Names the versions of the specification that this server serves.
pub async fn versions(State(_): State<App>, _: Call<Request>) -> ApiResult<Response> {
    Ok(Response::new(VERSIONS.map(str::to_owned).to_vec()))
}
