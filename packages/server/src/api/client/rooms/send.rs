//! `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid)

use axum::extract::State;
use ruma::api::client::message::send_message_event::v3::{Request, Response};
use ruma::events::TimelineEventType;

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
    room::Sent,
};

/// Sends a message event, once per transaction id.
pub async fn send(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::Send, &caller)?;
    let kind = TimelineEventType::from(request.event_type.to_string());
    let event_id = app
        .rooms
        .send(Sent {
            txn: Some(caller.transaction(request.txn_id, &request.room_id, kind.to_string())),
            ts: request.timestamp.filter(|_| caller.appservice.is_some()),
            room_id: request.room_id,
            sender: caller.user_id,
            kind,
            state_key: None,
            content: request.body.into_json(),
        })
        .await?;
    Ok(Response::new(event_id))
}
