//! `POST /_matrix/client/v3/rooms/{roomId}/read_markers`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidread_markers)

use axum::extract::State;
use ruma::api::client::read_marker::set_read_marker::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::ReadMark,
};

/// Moves several of the caller's markers.
pub async fn read_markers(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let marks = [
        request.fully_read.map(ReadMark::FullyRead),
        request.read_receipt.map(ReadMark::public),
        request.private_read_receipt.map(ReadMark::private),
    ];
    let marks = marks.into_iter().flatten().collect();
    app.rooms
        .mark_read(&caller, &request.room_id, marks)
        .await?;
    Ok(Response::new())
}
