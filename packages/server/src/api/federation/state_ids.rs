//! `GET /_matrix/federation/v1/state_ids/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1state_idsroomid)

use std::sync::Arc;

use axum::extract::State;
use matryx_entity::pdu::Pdu;
use ruma::{
    OwnedEventId,
    api::federation::event::get_room_state_ids::v1::{Request, Response},
};

use super::shared_room;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The ids of the state of a room before an event.
pub async fn state_ids(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = shared_room(&app, &caller, &request.room_id).await?;
    let before = app.rooms.state_for_server(&room, &request.event_id).await?;
    Ok(Response::new(ids(&before.auth_chain), ids(&before.state)))
}

fn ids(pdus: &[Arc<Pdu>]) -> Vec<OwnedEventId> {
    pdus.iter().map(|pdu| pdu.event_id().to_owned()).collect()
}
