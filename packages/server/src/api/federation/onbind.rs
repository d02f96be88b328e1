//! `PUT /_matrix/federation/v1/3pid/onbind`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv13pidonbind)

use axum::extract::State;
use ruma::{
    api::federation::thirdparty::bind_callback::v1::{Request, Response},
    serde::Raw,
};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
    rate_limit::Act,
    room::BoundInvite,
};

/// The most invites that wait for one identifier.
const MAX_INVITES: usize = 50;

/// Takes note that a user of this server is whom rooms have invited by a third-party identifier.
pub async fn onbind(
    State(app): State<App>,
    Call {
        request, remote, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    if request.invites.len() > MAX_INVITES {
        return Err(ApiError::invalid_param("There are too many invites"));
    }
    if request
        .invites
        .iter()
        .any(|invite| invite.mxid != request.mxid)
    {
        return Err(ApiError::invalid_param("An invite is of another user"));
    }
    // Nobody proves who they are here, and each invite is a request to another server.
    for _ in &request.invites {
        app.rate_limits.act_from(Act::Invite, remote.ip)?;
    }
    let invites = request.invites.into_iter().map(|invite| BoundInvite {
        room_id: invite.room_id,
        sender: invite.sender,
        target: invite.mxid,
        signed: Raw::into_json(invite.signed),
    });
    app.rooms
        .take_bound_invites(&request.mxid, invites.collect())
        .await?;
    Ok(Response::new())
}
