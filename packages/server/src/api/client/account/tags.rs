//! `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`
//! `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
//! `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#room-tagging)

use axum::extract::State;
use ruma::api::client::tag::{
    create_tag::v3 as create, delete_tag::v3 as delete, get_tags::v3 as get,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Lists the caller's tags of a room.
pub async fn tags(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let get::Request {
        user_id, room_id, ..
    } = call.request;
    let tags = app.users.tags(&call.caller, &user_id, &room_id).await?;
    Ok(get::Response::new(tags))
}

/// Tags a room.
pub async fn create_tag(
    State(app): State<App>,
    call: Call<create::Request>,
) -> ApiResult<create::Response> {
    let request = call.request;
    let info = Some(request.tag_info);
    app.users
        .set_tag(
            &call.caller,
            &request.user_id,
            &request.room_id,
            &request.tag,
            info,
        )
        .await?;
    Ok(create::Response::new())
}

/// Takes a tag off a room.
pub async fn delete_tag(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let request = call.request;
    app.users
        .set_tag(
            &call.caller,
            &request.user_id,
            &request.room_id,
            &request.tag,
            None,
        )
        .await?;
    Ok(delete::Response::new())
}
