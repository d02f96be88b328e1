//! `PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
//! `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
//! `DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
//! [Proposal](https://github.com/matrix-org/matrix-spec-proposals/pull/3814)

pub mod events;

use axum::extract::State;
use ruma::{
    api::client::dehydrated_device::{
        delete_dehydrated_device::unstable as delete, get_dehydrated_device::unstable as get,
        put_dehydrated_device::unstable as put,
    },
    serde::Raw,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    dehydrated_device::NewDehydrated,
    e2ee::{E2eeError, KeyUpload},
};

/// Puts a dehydrated device in the place of the caller's last one.
pub async fn put(State(app): State<App>, call: Call<put::Request>) -> ApiResult<put::Response> {
    let put::Request {
        device_id,
        initial_device_display_name,
        device_data,
        device_keys,
        one_time_keys,
        fallback_keys,
        ..
    } = call.request;
    let new = NewDehydrated {
        device_id: device_id.clone(),
        display_name: initial_device_display_name,
        device_data,
        keys: KeyUpload {
            device_keys: Some(device_keys),
            one_time_keys,
            fallback_keys,
        },
    };
    app.dehydrated_devices
        .put(&call.caller.user_id, new)
        .await?;
    Ok(put::Response::new(device_id))
}

/// Shows the caller's dehydrated device.
pub async fn get(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let device = app.dehydrated_devices.lookup(&call.caller.user_id).await?;
    let data = Raw::from_json_string(device.device_data).map_err(E2eeError::Json)?;
    Ok(get::Response::new(device.device_id, data))
}

/// Removes the caller's dehydrated device.
pub async fn delete(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let device_id = app.dehydrated_devices.delete(&call.caller.user_id).await?;
    Ok(delete::Response::new(device_id))
}
