//! `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid)

use axum::extract::State;
use ruma::api::{
    IncomingRequest, Metadata,
    client::typing::create_typing_event::v3::{Request, Response, Typing},
    error::DeserializationError,
};
use serde_json::{Map, Value};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// How long somebody types who does not say how long, in milliseconds; Synapse's value.
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Says that the caller types, or no longer does.
pub async fn typing(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<SetTyping>,
) -> ApiResult<Response> {
    let SetTyping(Request {
        room_id,
        user_id,
        state,
        ..
    }) = request;
    let lasts = match state {
        Typing::Yes(typing) => Some(typing.timeout),
        Typing::No => None,
    };
    app.rooms
        .set_typing(&caller, &room_id, &user_id, lasts)
        .await?;
    Ok(Response::new())
}

/// The request, whose `timeout` may be missing: Ruma insists on it, the specification does not.
pub struct SetTyping(Request);

impl Metadata for SetTyping {
    const METHOD: http::Method = Request::METHOD;
    const RATE_LIMITED: bool = Request::RATE_LIMITED;
    type Authentication = <Request as Metadata>::Authentication;
    type PathBuilder = <Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = Request::PATH_BUILDER;
}

impl IncomingRequest for SetTyping {
    type EndpointError = <Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (parts, body) = request.into_parts();
        let mut body: Map<String, Value> = serde_json::from_slice(body)?;
        body.entry("timeout").or_insert(DEFAULT_TIMEOUT_MS.into());
        let body = serde_json::to_vec(&body)?;
        let request = http::Request::from_parts(parts, &*body);
        Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}
