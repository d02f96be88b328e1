//! `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey)

use axum::extract::State;
use ruma::api::client::state::get_state_event_for_key::v3::{Request, Response, StateEventFormat};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::StateForm,
};

/// One slot of a room's state.
pub async fn get_state_event(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let Request {
        room_id,
        event_type,
        state_key,
        format,
        ..
    } = request;
    let form = match format {
        StateEventFormat::Event => StateForm::Event,
        _ => StateForm::Content,
    };
    let slot = app
        .rooms
        .state_event(&caller, &room_id, &event_type, &state_key, form)
        .await?;
    Ok(Response::new(slot))
}
