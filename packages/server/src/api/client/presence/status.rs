//! `GET /_matrix/client/v3/presence/{userId}/status`
//! `PUT /_matrix/client/v3/presence/{userId}/status`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3presenceuseridstatus)

use std::time::Duration;

use axum::extract::State;
use ruma::api::client::presence::{get_presence::v3 as get, set_presence::v3 as set};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// What a user is, for somebody who shares a room with them.
pub async fn status(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let (reader, user) = (&call.caller.user_id, &call.request.user_id);
    let status = app.presences.status(reader, user).await?;
    let ago = status.last_active_ago(app.clock.now());
    let mut response = get::Response::new(status.presence);
    response.status_msg = status.status_msg;
    response.currently_active = Some(status.currently_active);
    response.last_active_ago = ago.map(Duration::from_millis);
    Ok(response)
}

/// Sets the caller's presence.
pub async fn set_status(
    State(app): State<App>,
    call: Call<set::Request>,
) -> ApiResult<set::Response> {
    let set::Request {
        user_id,
        presence,
        status_msg,
        ..
    } = call.request;
    app.presences
        .set_status(&call.caller, &user_id, presence, status_msg)
        .await?;
    Ok(set::Response::new())
}
