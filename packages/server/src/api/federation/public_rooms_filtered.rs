//! `POST /_matrix/federation/v1/publicRooms`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1publicrooms)

use axum::extract::State;
use ruma::api::federation::directory::get_public_rooms_filtered::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::DirectoryRequest,
};

/// A page of the public rooms of this server that a filter lets through.
pub async fn public_rooms_filtered(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let wanted = DirectoryRequest {
        limit: request.limit,
        since: request.since.as_deref(),
        network: request.room_network,
        filter: request.filter,
    };
    let page = app.rooms.public_rooms(wanted).await?;
    let mut response = Response::new();
    response.chunk = page.rooms;
    response.next_batch = page.next;
    response.prev_batch = page.prev;
    response.total_room_count_estimate = page.total.try_into().ok();
    Ok(response)
}
