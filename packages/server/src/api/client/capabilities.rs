//! `GET /_matrix/client/v3/capabilities`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities)

use axum::extract::State;
use matryx_entity::room_versions;
use ruma::api::client::discovery::get_capabilities::v3::{
    Capabilities, ProfileFieldsCapability, Request, Response, ThirdPartyIdChangesCapability,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Names what this server can do and lets its users do.
pub async fn capabilities(State(app): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let mut capabilities = Capabilities::new();
    capabilities.room_versions = room_versions::capability(app.config.default_room_version.clone());
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    // There is nothing that could verify an e-mail address or a phone number.
    capabilities.thirdparty_id_changes = ThirdPartyIdChangesCapability::new(false);
    Ok(Response::new(capabilities))
}
