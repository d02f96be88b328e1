//! `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey)

use axum::extract::State;
use ruma::api::client::state::send_state_event::v3::{Request, Response};
use ruma::events::TimelineEventType;

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
    room::Sent,
};

/// Sets a piece of room state.
pub async fn put_state(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::Send, &caller)?;
    let event_id = app
        .rooms
        .send(Sent {
            txn: None,
            ts: request.timestamp.filter(|_| caller.appservice.is_some()),
            room_id: request.room_id,
            sender: caller.user_id,
            kind: TimelineEventType::from(request.event_type.to_string()),
            state_key: Some(request.state_key),
            content: request.body.into_json(),
        })
        .await?;
    Ok(Response::new(event_id))
}
