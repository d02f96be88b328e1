//! `GET /_matrix/client/v3/publicRooms`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms)

use axum::extract::State;
use ruma::api::client::directory::get_public_rooms::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::DirectoryRequest,
};

/// A page of the public rooms.
pub async fn public_rooms(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let wanted = DirectoryRequest {
        limit: request.limit,
        since: request.since.as_deref(),
        ..DirectoryRequest::default()
    };
    let server = request.server.as_deref();
    let page = app.rooms.public_rooms_of(server, wanted).await?;
    let mut response = Response::new(page.rooms);
    response.next_batch = page.next;
    response.prev_batch = page.prev;
    response.total_room_count_estimate = page.total.try_into().ok();
    Ok(response)
}
