//! `GET /_matrix/client/v3/capabilities`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities)

use axum::extract::State;
use ruma::{
    RoomVersionId,
    api::client::discovery::get_capabilities::v3::{
        Capabilities, Request, Response, RoomVersionStability, RoomVersionsCapability,
    },
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

const ROOM_VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// Names what this server can do and lets its users do.
pub async fn capabilities(State(_): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let available = ROOM_VERSIONS
        .into_iter()
        .map(|version| (version, RoomVersionStability::Stable))
        .collect();
    let mut capabilities = Capabilities::new();
    capabilities.room_versions = RoomVersionsCapability::new(RoomVersionId::V12, available);
    Ok(Response::new(capabilities))
}
