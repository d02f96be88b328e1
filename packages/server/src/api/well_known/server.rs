//! `GET /.well-known/matrix/server`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver)

use axum::extract::State;
use ruma::{
    OwnedServerName,
    api::federation::discovery::discover_homeserver::{Request, Response},
};

use crate::{
    api::{
        error::{ApiResult, request::RequestError},
        extract::Call,
    },
    app::App,
};

/// Tells other servers where this one is.
pub async fn server(State(app): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let server = app
        .config
        .well_known
        .server
        .as_deref()
        .and_then(|server| OwnedServerName::try_from(server).ok())
        .ok_or(RequestError::NotConfigured)?;
    Ok(Response::new(server))
}
