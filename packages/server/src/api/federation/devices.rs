//! `GET /_matrix/federation/v1/user/devices/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid)

use axum::extract::State;
use matryx_entity::device::Device;
use ruma::{
    UInt,
    api::federation::device::get_devices::v1::{Request, Response, UserDevice},
    serde::Raw,
};
use serde_json::json;

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
};

/// The devices of a user of this server.
///
/// No device has uploaded keys; each is told with an empty set of them, because the specification
/// has no device without one. No change of devices is announced to other servers either, which is
/// what `stream_id` counts.
pub async fn devices(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let devices = app.users.devices_for_servers(&request.user_id).await?;
    let names = app.config.federation.allow_device_names;
    let mut response = Response::new(request.user_id, UInt::MIN);
    for device in devices {
        response.devices.push(listed(device, names)?);
    }
    Ok(response)
}

fn listed(device: Device, names: bool) -> ApiResult<UserDevice> {
    let keys = json!({
        "user_id": device.user,
        "device_id": device.device_id,
        "algorithms": [],
        "keys": {},
        "signatures": {},
    });
    let keys = Raw::from_json_string(keys.to_string());
    let keys = keys.map_err(|error| ApiError::internal(&error))?;
    let mut listed = UserDevice::new(device.device_id, keys);
    listed.device_display_name = device.display_name.filter(|_| names);
    Ok(listed)
}
