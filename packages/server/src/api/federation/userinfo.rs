//! `GET /_matrix/federation/v1/openid/userinfo`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo)

use axum::extract::State;
use ruma::api::federation::openid::get_openid_userinfo::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Tells anybody who has an `OpenID` token whose it is.
pub async fn userinfo(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let user = app.users.open_id_holder(&request.access_token).await?;
    Ok(Response::new(user))
}
