//! `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1event_authroomideventid)

use axum::extract::State;
use ruma::api::federation::authorization::get_event_authorization::v1::{Request, Response};

use super::{raw_all, shared_room};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The auth chain of an event.
pub async fn event_auth(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = shared_room(&app, &caller, &request.room_id).await?;
    let chain = app.rooms.auth_chain_for_server(&room, &request.event_id);
    Ok(Response::new(raw_all(&chain.await?)?))
}
