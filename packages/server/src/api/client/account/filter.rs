//! `POST /_matrix/client/v3/user/{userId}/filter`
//! `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#filtering)

use axum::extract::State;
use ruma::api::client::filter::{create_filter::v3 as create, get_filter::v3 as get};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Stores a filter.
pub async fn create_filter(
    State(app): State<App>,
    call: Call<create::Request>,
) -> ApiResult<create::Response> {
    let create::Request {
        user_id, filter, ..
    } = call.request;
    let id = app
        .users
        .create_filter(&call.caller, &user_id, &filter)
        .await?;
    Ok(create::Response::new(id))
}

/// Shows a stored filter.
pub async fn filter(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let get::Request {
        user_id, filter_id, ..
    } = call.request;
    let filter = app.users.filter(&call.caller, &user_id, &filter_id).await?;
    Ok(get::Response::new(filter))
}
