//! `GET /_matrix/key/v2/server`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server)

use axum::extract::State;
use ruma::api::federation::discovery::get_server_keys::v2::{Request, Response};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
        key::raw,
    },
    app::App,
};

/// Publishes the server's signing keys.
pub async fn server(State(app): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let keys = app.key_ring.own().published(app.clock.now());
    let keys = keys.map_err(|error| ApiError::internal(&error))?;
    Ok(Response::new(raw(&keys)?))
}
