//! `GET /.well-known/matrix/client`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixclient)

use axum::extract::State;
use ruma::api::client::discovery::discover_homeserver::{HomeserverInfo, Request, Response};

use crate::{
    api::{
        error::{ApiResult, request::RequestError},
        extract::Call,
    },
    app::App,
};

/// Tells clients where this server is.
pub async fn client(State(app): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let base_url = app
        .config
        .well_known
        .client_base_url
        .as_ref()
        .ok_or(RequestError::NotConfigured)?;
    let base_url = base_url.to_string();
    Ok(Response::new(HomeserverInfo::new(base_url)))
}
