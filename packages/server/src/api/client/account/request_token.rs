//! `POST /_matrix/client/v3/user/{userId}/openid/request_token`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridopenidrequest_token)

use axum::extract::State;
use ruma::{
    api::client::account::request_openid_token::v3::{Request, Response},
    authentication::TokenType,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Gives the caller a token with which they can show somebody else who they are.
pub async fn request_token(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let issued = app.users.issue_open_id(&caller, &request.user_id).await?;
    Ok(Response::new(
        issued.token,
        TokenType::Bearer,
        app.config.server_name.clone(),
        issued.expires_in,
    ))
}
