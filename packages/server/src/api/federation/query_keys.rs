//! `POST /_matrix/federation/v1/user/keys/query`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysquery)

use std::collections::BTreeMap;

use axum::extract::State;
use ruma::api::federation::keys::get_keys::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The identity keys of the devices of users of this server. There is an entry for every user who
/// exists; no device has uploaded keys.
pub async fn query_keys(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let users = app.users.open_accounts(request.device_keys.keys()).await?;
    let users = users.into_iter().map(|user| (user, BTreeMap::new()));
    Ok(Response::new(users.collect()))
}
