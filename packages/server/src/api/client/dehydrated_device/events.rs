//! `POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events`
//! [Proposal](https://github.com/matrix-org/matrix-spec-proposals/pull/3814)

use axum::extract::State;
use matryx_entity::to_device::ToDeviceMessage;
use ruma::{
    api::client::dehydrated_device::get_events::unstable::{Request, Response},
    serde::Raw,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    e2ee::E2eeError,
};

/// Shows what the caller's dehydrated device got.
pub async fn events(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Request {
        device_id,
        next_batch,
        ..
    } = call.request;
    let letters = app
        .dehydrated_devices
        .messages(&call.caller.user_id, &device_id, next_batch.as_deref())
        .await?;
    let events = letters.messages.iter().map(shown);
    let mut response = Response::new(events.collect::<Result<_, E2eeError>>()?);
    // Also after the last page: who asks without one begins anew.
    response.next_batch = Some(letters.next_batch.to_string());
    Ok(response)
}

fn shown<T>(message: &ToDeviceMessage) -> Result<Raw<T>, E2eeError> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        sender: &'a str,
        content: &'a RawValue,
    }
    let shown = Shown {
        kind: &message.kind,
        sender: message.sender.as_str(),
        content: serde_json::from_str(&message.content).map_err(E2eeError::Json)?,
    };
    let shown = to_raw_value(&shown).map_err(E2eeError::Json)?;
    Ok(Raw::from_json(shown))
}
