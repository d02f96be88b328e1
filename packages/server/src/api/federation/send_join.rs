//! `PUT /_matrix/federation/v1/send_join/{roomId}/{eventId}`
//! `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid)
//!
//! The first version, which the specification has dropped, has its status within the answer, and
//! no way to leave members out.

use std::collections::HashSet;

use axum::extract::State;
use http::Method;
use matryx_entity::pdu::Pdu;
use ruma::{
    EventId,
    api::{
        IncomingRequest, Metadata,
        error::DeserializationError,
        federation::{
            authentication::ServerSignatures,
            membership::create_join_event::v2::{Request, Response, RoomState},
        },
        path_builder::SinglePath,
    },
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{admit, raw};
use crate::{
    api::{error::ApiResult, extract::Call, json::Json},
    app::App,
    caller::Origin,
    room::servers_in,
};

/// Takes the join of a user of the calling server, and tells that server what the room is.
pub async fn send_join(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    Ok(Response::new(join(&app, &caller, request).await?))
}

/// The same in the first version.
pub async fn send_join_v1(
    State(app): State<App>,
    Call {
        caller,
        request: RequestV1(request),
        ..
    }: Call<RequestV1>,
) -> ApiResult<Json<(u16, RoomState)>> {
    Ok(Json((200, join(&app, &caller, request).await?)))
}

async fn join(app: &App, caller: &Origin, request: Request) -> ApiResult<RoomState> {
    let room = app.rooms.resident(&request.room_id).await?;
    let join = MembershipState::Join;
    let event = (&*request.event_id, &*request.pdu);
    let pdu = admit(app, caller, &room, event, &join).await?;
    let before = app.rooms.room_before(&room, &pdu).await?;
    let mut answer = RoomState::new();
    let is_member = |pdu: &Pdu| *pdu.kind() == TimelineEventType::RoomMember;
    answer.members_omitted = request.omit_members;
    let state: Vec<_> = before
        .state
        .iter()
        .filter(|pdu| !request.omit_members || !is_member(pdu))
        .collect();
    let told: HashSet<&EventId> = state.iter().map(|pdu| pdu.event_id()).collect();
    for pdu in &state {
        answer.state.push(raw(pdu.json().to_string())?);
    }
    for pdu in &before.auth_chain {
        if !request.omit_members || !told.contains(pdu.event_id()) {
            answer.auth_chain.push(raw(pdu.json().to_string())?);
        }
    }
    answer.event = Some(raw(pdu.json().to_string())?);
    if request.omit_members {
        answer.servers_in_room = Some(servers_in(&room).into_iter().collect());
    }
    Ok(answer)
}

/// The request of the first version.
pub struct RequestV1(Request);

impl Metadata for RequestV1 {
    const METHOD: Method = Method::PUT;
    const RATE_LIMITED: bool = false;
    type Authentication = ServerSignatures;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath =
        SinglePath::new("/_matrix/federation/v1/send_join/{room_id}/{event_id}");
}

impl IncomingRequest for RequestV1 {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Json<(u16, RoomState)>;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let mut request = Request::try_from_http_request_inner(request, path_args)?;
        request.omit_members = false;
        Ok(Self(request))
    }
}
