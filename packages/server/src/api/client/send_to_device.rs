//! `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid)

use axum::extract::State;
use ruma::api::client::to_device::send_event_to_device::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    to_device::Messages,
};

/// Sends messages to devices, once per transaction id.
pub async fn send_to_device(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    let kind = request.event_type.to_string();
    let txn = caller.transaction_of(request.txn_id, format!("sendToDevice {kind}"));
    let messages = Messages {
        sender: caller.user_id,
        kind,
        contents: request.messages,
    };
    app.to_device.send(txn, messages).await?;
    Ok(Response::new())
}
