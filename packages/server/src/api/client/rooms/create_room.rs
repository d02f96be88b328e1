//! `POST /_matrix/client/v3/createRoom`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom)

use axum::extract::State;
use ruma::{
    api::client::room::create_room::v3::{Request, Response},
    serde::Raw,
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
    room::CreateRoom,
};

/// Creates a room; answers when all of its first events are durable.
pub async fn create_room(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::CreateRoom, &caller)?;
    for _ in &request.invite {
        app.rate_limits.act(Act::Invite, &caller)?;
    }
    let publication = app.config.room_directory.publication;
    app.rooms
        .check_new_visibility(&caller, &request.visibility, publication)
        .await?;
    if let Some(name) = &request.room_alias_name {
        app.rooms
            .check_alias_name(&caller, &app.appservices, name)?;
    }
    let text = |json: &str| json.to_owned();
    let room_id = app
        .rooms
        .create(CreateRoom {
            creator: caller.user_id,
            creation_content: request.creation_content.map(|raw| text(raw.json().get())),
            initial_state: request
                .initial_state
                .iter()
                .map(|raw| text(raw.json().get()))
                .collect(),
            invite: request.invite,
            invite_3pid: request.invite_3pid.len(),
            is_direct: request.is_direct,
            name: request.name,
            topic: request.topic,
            power_levels: request
                .power_level_content_override
                .as_ref()
                .map(Raw::json)
                .map(|raw| text(raw.get())),
            preset: request.preset,
            alias_localpart: request.room_alias_name,
            version: request.room_version,
            visibility: request.visibility,
        })
        .await?;
    Ok(Response::new(room_id))
}
