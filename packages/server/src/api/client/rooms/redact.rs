//! `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid)

use axum::extract::State;
use ruma::api::client::redact::redact_event::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
};

/// Takes the content of an event away.
pub async fn redact(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::Send, &caller)?;
    let scope = format!("redact {}", request.event_id);
    let txn = caller.transaction(request.txn_id, &request.room_id, scope);
    let event_id = app
        .rooms
        .redact(
            &request.room_id,
            caller.user_id,
            request.event_id,
            request.reason,
            Some(txn),
        )
        .await?;
    Ok(Response::new(event_id))
}
