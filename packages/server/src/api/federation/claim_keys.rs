//! `POST /_matrix/federation/v1/user/keys/claim`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysclaim)

use std::collections::BTreeMap;

use axum::extract::State;
use ruma::api::federation::keys::claim_keys::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Claims one-time keys of users of this server. There is an entry for every user who exists; no
/// device has uploaded keys that could be claimed.
pub async fn claim_keys(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let users = app
        .users
        .open_accounts(request.one_time_keys.keys())
        .await?;
    let users = users.into_iter().map(|user| (user, BTreeMap::new()));
    Ok(Response::new(users.collect()))
}
