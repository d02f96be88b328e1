//! `GET /_matrix/client/v3/user/{userId}/account_data/{type}`
//! `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`
//! `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
//! `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#client-config)

use axum::extract::State;
use ruma::{
    api::client::config::{
        get_global_account_data::v3 as get, get_room_account_data::v3 as get_room,
        set_global_account_data::v3 as set, set_room_account_data::v3 as set_room,
    },
    serde::Raw,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    user::{DataScope, UserError},
};

/// Shows one type of the account's data.
pub async fn account_data(
    State(app): State<App>,
    call: Call<get::Request>,
) -> ApiResult<get::Response> {
    let scope = DataScope {
        user: &call.request.user_id,
        room: None,
    };
    let kind = call.request.event_type.to_string();
    let content = app.users.account_data(&call.caller, scope, &kind).await?;
    let content = Raw::from_json_string(content).map_err(UserError::from)?;
    Ok(get::Response::new(content))
}

/// Sets one type of the account's data.
pub async fn set_account_data(
    State(app): State<App>,
    call: Call<set::Request>,
) -> ApiResult<set::Response> {
    let scope = DataScope {
        user: &call.request.user_id,
        room: None,
    };
    let kind = call.request.event_type.to_string();
    let content = call.request.data.json().get().to_owned();
    app.users
        .set_account_data(&call.caller, scope, &kind, content)
        .await?;
    Ok(set::Response::new())
}

/// Shows one type of the account's data of a room.
pub async fn room_account_data(
    State(app): State<App>,
    call: Call<get_room::Request>,
) -> ApiResult<get_room::Response> {
    let scope = DataScope {
        user: &call.request.user_id,
        room: Some(&call.request.room_id),
    };
    let kind = call.request.event_type.to_string();
    let content = app.users.account_data(&call.caller, scope, &kind).await?;
    let content = Raw::from_json_string(content).map_err(UserError::from)?;
    Ok(get_room::Response::new(content))
}

/// Sets one type of the account's data of a room.
pub async fn set_room_account_data(
    State(app): State<App>,
    call: Call<set_room::Request>,
) -> ApiResult<set_room::Response> {
    let scope = DataScope {
        user: &call.request.user_id,
        room: Some(&call.request.room_id),
    };
    let kind = call.request.event_type.to_string();
    let content = call.request.data.json().get().to_owned();
    app.users
        .set_account_data(&call.caller, scope, &kind, content)
        .await?;
    Ok(set_room::Response::new())
}
