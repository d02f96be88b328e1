//! `POST /_matrix/client/v3/rooms/{roomId}/invite`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite)

use axum::extract::State;
use ruma::api::client::membership::invite_user::v3::{InvitationRecipient, Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    rate_limit::Act,
    room::RoomError,
};

/// Invites a user to a room.
pub async fn invite(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    app.rate_limits.act(Act::Invite, &caller)?;
    let InvitationRecipient::UserId(target) = request.recipient else {
        return Err(RoomError::NoIdentityServer.into());
    };
    app.rooms
        .invite(
            caller.user_id,
            request.room_id,
            target.user_id,
            target.reason,
        )
        .await?;
    Ok(Response::new())
}
