//! `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid)

use axum::extract::State;
use ruma::api::client::receipt::create_receipt::v3::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::ReadMark,
};

/// Moves one of the caller's markers.
pub async fn receipt(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let Request {
        room_id,
        receipt_type,
        event_id,
        thread,
        ..
    } = request;
    let mark = ReadMark::named(receipt_type.as_str(), thread, event_id)?;
    app.rooms.mark_read(&caller, &room_id, vec![mark]).await?;
    Ok(Response::new())
}
