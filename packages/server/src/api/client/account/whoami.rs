//! `GET /_matrix/client/v3/account/whoami`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami)

use axum::extract::State;
use ruma::api::client::account::whoami::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Tells the caller who they are. Reads nothing.
pub async fn whoami(State(_): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let mut response = Response::new(call.caller.user_id, call.caller.is_guest);
    response.device_id = call.caller.device_id;
    Ok(response)
}
