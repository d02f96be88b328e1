//! `GET /_synapse/admin/v1/register`
//! `POST /_synapse/admin/v1/register`
//! [Synapse](https://element-hq.github.io/synapse/latest/admin_api/register_api.html)

use axum::extract::State;
use http::Method;
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId,
    api::{
        IncomingRequest, Metadata, auth_scheme::NoAuthentication, error::DeserializationError,
        path_builder::SinglePath,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
        json::Json,
    },
    app::App,
    rate_limit::Act,
    user::SharedSecretRequest,
};

const PATH: SinglePath = SinglePath::new("/_synapse/admin/v1/register");

/// Gives out a nonce.
pub async fn nonce(State(app): State<App>, call: Call<NonceRequest>) -> ApiResult<Json<Nonce>> {
    app.rate_limits.act_from(Act::Register, call.remote.ip)?;
    let nonce = app.users.shared_secret_nonce()?;
    Ok(Json(Nonce { nonce }))
}

/// Registers an account.
pub async fn register(State(app): State<App>, call: Call<Request>) -> ApiResult<Json<Account>> {
    app.rate_limits.act_from(Act::Register, call.remote.ip)?;
    let Request(request) = call.request;
    let registered = app
        .users
        .register_with_shared_secret(SharedSecretRequest {
            nonce: request.nonce,
            username: request.username,
            display_name: request.displayname,
            password: request.password,
            admin: request.admin,
            user_type: request.user_type,
            mac: request.mac,
        })
        .await?;
    let session = registered
        .session
        .ok_or_else(|| ApiError::not_found("The account has no session"))?;
    Ok(Json(Account {
        access_token: session.access_token,
        user_id: registered.user_id,
        home_server: app.config.server_name.clone(),
        device_id: session.device_id,
    }))
}

/// The request for a nonce.
pub struct NonceRequest;

/// A nonce.
#[derive(Serialize)]
pub struct Nonce {
    nonce: String,
}

/// The request for an account.
pub struct Request(Body);

#[derive(Deserialize)]
struct Body {
    nonce: String,
    username: String,
    #[serde(default)]
    displayname: Option<String>,
    password: String,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    user_type: Option<String>,
    mac: String,
}

/// A new account with its first session.
#[derive(Serialize)]
pub struct Account {
    access_token: String,
    user_id: OwnedUserId,
    home_server: OwnedServerName,
    device_id: OwnedDeviceId,
}

impl Metadata for NonceRequest {
    const METHOD: Method = Method::GET;
    const RATE_LIMITED: bool = true;
    type Authentication = NoAuthentication;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = PATH;
}

impl IncomingRequest for NonceRequest {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Json<Nonce>;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

impl Metadata for Request {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = NoAuthentication;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = PATH;
}

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Json<Account>;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self(serde_json::from_slice(request.body())?))
    }
}
