//! `GET /_matrix/client/v3/profile/{userId}`
//! `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
//! `GET /_matrix/client/v3/profile/{userId}/{keyName}`
//! `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#profiles)

use axum::extract::State;
use ruma::{
    api::client::profile::{
        delete_profile_field::v3 as delete, get_profile::v3 as get,
        get_profile_field::v3 as get_field, set_profile_field::v3 as set,
    },
    profile::ProfileFieldValue,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    user::UserError,
};

/// Shows a user's profile.
pub async fn profile(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let fields = app.users.any_profile(&call.request.user_id).await?;
    let fields = fields.iter();
    Ok(fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect())
}

/// Shows one field of a user's profile.
pub async fn field(
    State(app): State<App>,
    call: Call<get_field::Request>,
) -> ApiResult<get_field::Response> {
    let get_field::Request { user_id, field, .. } = call.request;
    let name = field.as_str();
    let mut response = get_field::Response::default();
    if let Some(value) = app.users.any_profile_field(&user_id, name).await? {
        response.value = Some(ProfileFieldValue::new(name, value).map_err(UserError::from)?);
    }
    Ok(response)
}

/// Sets a field of the caller's profile.
pub async fn set_field(
    State(app): State<App>,
    call: Call<set::Request>,
) -> ApiResult<set::Response> {
    let set::Request { user_id, value, .. } = call.request;
    let name = value.field_name();
    let value = value.value().into_owned();
    app.users
        .set_profile_field(&call.caller, &user_id, name.as_str(), Some(value))
        .await?;
    Ok(set::Response::new())
}

/// Removes a field of the caller's profile.
pub async fn delete_field(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let delete::Request { user_id, field, .. } = call.request;
    app.users
        .set_profile_field(&call.caller, &user_id, field.as_str(), None)
        .await?;
    Ok(delete::Response::new())
}
