//! `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members)

use axum::extract::State;
use ruma::api::client::membership::joined_members::v3::{Request, Response, RoomMember};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// The joined members of a room and their profiles in it.
pub async fn joined_members(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let joined = app.rooms.joined_members(&caller, &request.room_id).await?;
    let joined = joined.into_iter().map(|(user, profile)| {
        let mut member = RoomMember::new();
        member.display_name = profile.display_name;
        member.avatar_url = profile.avatar_url;
        (user, member)
    });
    Ok(Response::new(joined.collect()))
}
