//! `POST /_matrix/federation/v1/user/keys/claim`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysclaim)

use axum::extract::State;
use ruma::api::federation::keys::claim_keys::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Claims one-time keys of devices of users of this server.
pub async fn claim_keys(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let keys = app.e2ee.claim_here(request.one_time_keys).await?;
    Ok(Response::new(keys))
}
