//! `GET /_matrix/federation/v1/user/devices/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid)

use axum::extract::State;
use ruma::{
    UInt,
    api::federation::device::get_devices::v1::{Request, Response, UserDevice},
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    e2ee::KnownDevice,
};

/// The devices of a user of this server that have keys: the specification has no device without.
pub async fn devices(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let list = app.e2ee.list_here(&request.user_id).await?;
    let names = app.config.federation.allow_device_names;
    let stream_id = UInt::try_from(list.stream_id).unwrap_or(UInt::MIN);
    let mut response = Response::new(request.user_id, stream_id);
    let devices = list.devices.iter().map(|device| listed(device, names));
    response.devices.extend(devices);
    response.master_key.clone_from(&list.master);
    response.self_signing_key.clone_from(&list.self_signing);
    Ok(response)
}

fn listed(device: &KnownDevice, names: bool) -> UserDevice {
    let mut listed = UserDevice::new(device.device_id.clone(), device.keys.clone());
    listed.device_display_name = device.display_name.clone().filter(|_| names);
    listed
}
