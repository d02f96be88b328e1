//! `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid)

use std::collections::HashSet;

use axum::extract::State;
use matryx_entity::pdu::Pdu;
use ruma::{
    EventId,
    api::federation::membership::create_join_event::v2::{Request, Response, RoomState},
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{admit, raw};
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    room::servers_in,
};

/// Takes the join of a user of the calling server, and tells that server what the room is.
pub async fn send_join(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    let room = app.rooms.resident(&request.room_id).await?;
    let join = MembershipState::Join;
    let event = (&*request.event_id, &*request.pdu);
    let pdu = admit(&app, &caller, &room, event, &join).await?;
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
    Ok(Response::new(answer))
}
