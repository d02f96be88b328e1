//! `GET /_matrix/client/v3/keys/changes`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges)

use axum::extract::State;
use matryx_entity::token::SyncToken;
use ruma::api::client::keys::get_key_changes::v3::{Request, Response};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
};

/// Whose devices changed since `from`, up to now: what came after `to` is told again by the next
/// sync from there.
pub async fn changes(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    let since = token(&request.from)?;
    token(&request.to)?;
    let lists = app.sync.device_lists(&caller.user_id, &since).await?;
    Ok(Response::new(
        lists.changed.into_iter().collect(),
        lists.left.into_iter().collect(),
    ))
}

fn token(text: &str) -> Result<SyncToken, ApiError> {
    text.parse()
        .or(Err(ApiError::invalid_param("that is no sync token")))
}
