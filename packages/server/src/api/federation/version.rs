//! `GET /_matrix/federation/v1/version`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1version)

use axum::extract::State;
use ruma::api::federation::discovery::get_server_version::v1::{Request, Response, Server};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Tells which program this is.
pub async fn version(State(_): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let mut server = Server::new();
    server.name = Some("Matryx".to_owned());
    server.version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let mut response = Response::new();
    response.server = Some(server);
    Ok(response)
}
