//! `PUT /_matrix/federation/v1/send_leave/{roomId}/{eventId}`
//! `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid)
//!
//! The first version, which the specification has dropped, has its status within the answer.

use axum::extract::State;
use http::Method;
use ruma::{
    api::{
        IncomingRequest, Metadata,
        error::DeserializationError,
        federation::{
            authentication::ServerSignatures,
            membership::create_leave_event::v2::{Request, Response},
        },
        path_builder::SinglePath,
    },
    events::room::member::MembershipState,
};
use serde_json::{Value, json};

use super::admit;
use crate::{
    api::{error::ApiResult, extract::Call, json::Json},
    app::App,
    caller::Origin,
};

/// Takes the leave of a user of the calling server.
pub async fn send_leave(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    leave(&app, &caller, &request).await?;
    Ok(Response::new())
}

/// The same in the first version.
pub async fn send_leave_v1(
    State(app): State<App>,
    Call {
        caller,
        request: RequestV1(request),
        ..
    }: Call<RequestV1>,
) -> ApiResult<Json<Value>> {
    leave(&app, &caller, &request).await?;
    Ok(Json(json!([200, {}])))
}

async fn leave(app: &App, caller: &Origin, request: &Request) -> ApiResult<()> {
    let room = app.rooms.resident(&request.room_id).await?;
    let event = (&*request.event_id, &*request.pdu);
    admit(app, caller, &room, event, &MembershipState::Leave).await?;
    Ok(())
}

/// The request of the first version.
pub struct RequestV1(Request);

impl Metadata for RequestV1 {
    const METHOD: Method = Method::PUT;
    const RATE_LIMITED: bool = false;
    type Authentication = ServerSignatures;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath =
        SinglePath::new("/_matrix/federation/v1/send_leave/{room_id}/{event_id}");
}

impl IncomingRequest for RequestV1 {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Json<Value>;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}
