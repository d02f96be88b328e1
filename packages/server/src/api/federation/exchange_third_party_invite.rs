//! `PUT /_matrix/federation/v1/exchange_third_party_invite/{roomId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid)

use axum::extract::State;
use ruma::{
    api::federation::thirdparty::exchange_invite::v1::{Request, Response},
    events::StateEventType,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::of_origin;
use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
    room::BoundInvite,
};

#[derive(Deserialize)]
struct Content {
    membership: String,
    third_party_invite: ThirdPartyInvite,
}

#[derive(Deserialize)]
struct ThirdPartyInvite {
    signed: Box<RawValue>,
}

/// Invites a user of the calling server, who turned out to be whom a room had invited by a
/// third-party identifier.
pub async fn exchange_third_party_invite(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    of_origin(&caller, &request.state_key)?;
    let room = app.rooms.resident(&request.room_id).await?;
    app.acls.check(&room, caller.server_name())?;
    let content: Content = serde_json::from_str(request.content.json().get())
        .map_err(|error| ApiError::invalid_param(format!("content: {error}")))?;
    if request.kind != StateEventType::RoomMember || content.membership != "invite" {
        return Err(ApiError::invalid_param("The event is no invite"));
    }
    let invite = BoundInvite {
        room_id: request.room_id,
        sender: request.sender,
        target: request.state_key,
        signed: content.third_party_invite.signed,
    };
    app.rooms.invite_bound(&room, invite).await?;
    Ok(Response::new())
}
