//! `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid)

use axum::extract::State;
use ruma::{
    api::federation::membership::create_knock_event::v1::{Request, Response},
    events::room::member::MembershipState,
};

use super::admit;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::prejoin_state,
};

/// Takes the knock of a user of the calling server, and tells what it is that they knock on.
pub async fn send_knock(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = app.rooms.resident(&request.room_id).await?;
    let event = (&*request.event_id, &*request.pdu);
    admit(&app, &caller, &room, event, &MembershipState::Knock).await?;
    Ok(Response::new(prejoin_state(&room, None)?))
}
