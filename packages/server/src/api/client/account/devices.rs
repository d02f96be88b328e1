//! `GET /_matrix/client/v3/devices`
//! `DELETE /_matrix/client/v3/devices/{deviceId}`
//! `GET /_matrix/client/v3/devices/{deviceId}`
//! `PUT /_matrix/client/v3/devices/{deviceId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#device-management)

use axum::extract::State;
use ruma::api::client::device::{
    Device, delete_device::v3 as delete, get_device::v3 as get, get_devices::v3 as list,
    update_device::v3 as update,
};

use super::proof;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    user::ListedDevice,
};

/// Lists the caller's devices.
pub async fn devices(
    State(app): State<App>,
    call: Call<list::Request>,
) -> ApiResult<list::Response> {
    let devices = app.users.list_devices(&call.caller.user_id).await?;
    Ok(list::Response::new(
        devices.into_iter().map(shown).collect(),
    ))
}

/// Shows one of the caller's devices.
pub async fn device(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let id = &call.request.device_id;
    let device = app.users.device(&call.caller.user_id, id).await?;
    Ok(get::Response::new(shown(device)))
}

/// Renames one of the caller's devices.
pub async fn rename(
    State(app): State<App>,
    call: Call<update::Request>,
) -> ApiResult<update::Response> {
    let update::Request {
        device_id,
        display_name,
        ..
    } = call.request;
    app.users
        .rename_device(&call.caller.user_id, &device_id, display_name)
        .await?;
    Ok(update::Response::new())
}

/// Removes one of the caller's devices, after proof.
pub async fn delete(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let devices = [call.request.device_id];
    let auth = call.request.auth.as_ref();
    let delete = app.users.delete_own_devices(&call.caller, &devices, auth);
    proof::limited(&app, &call.caller, &call.remote, delete).await?;
    Ok(delete::Response::new())
}

fn shown(listed: ListedDevice) -> Device {
    let mut device = Device::new(listed.device.device_id);
    device.display_name = listed.device.display_name;
    if let Some(activity) = listed.activity {
        device.last_seen_ip = Some(activity.last_seen_ip.to_string());
        device.last_seen_ts = Some(activity.last_seen_ts);
    }
    device
}
