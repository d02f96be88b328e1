//! `POST /_matrix/client/v3/publicRooms`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms)

use axum::extract::State;
use ruma::api::client::directory::get_public_rooms_filtered::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::DirectoryRequest,
};

/// A page of the public rooms that a filter lets through.
pub async fn public_rooms_filtered(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let wanted = DirectoryRequest {
        limit: request.limit,
        since: request.since.as_deref(),
        filter: request.filter,
        network: request.room_network,
    };
    let server = request.server.as_deref();
    let page = app.rooms.public_rooms_of(server, wanted).await?;
    let mut response = Response::new();
    response.chunk = page.rooms;
    response.next_batch = page.next;
    response.prev_batch = page.prev;
    response.total_room_count_estimate = page.total.try_into().ok();
    Ok(response)
}
