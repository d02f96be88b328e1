//! `POST /_matrix/federation/v1/user/keys/query`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysquery)

use axum::extract::State;
use ruma::api::federation::keys::get_keys::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The keys of users of this server and of their devices. There is an entry for every user who has
/// an account.
pub async fn query_keys(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let names = app.config.federation.allow_device_names;
    let found = app.e2ee.query_here(request.device_keys, names).await?;
    let mut response = Response::new(found.device_keys);
    response.master_keys = found.master_keys;
    response.self_signing_keys = found.self_signing_keys;
    Ok(response)
}
