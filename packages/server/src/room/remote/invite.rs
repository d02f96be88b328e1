//! Inviting a user of another server to a room of this one.

use matryx_client::federation::FederationError;
use matryx_entity::{
    auth, build, pdu::Pdu, policy::Policy, room_no::RoomNo, room_snapshot::RoomSnapshot,
    room_versions, verify::Unverified,
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, ServerName, UserId,
    api::{
        error::ErrorKind,
        federation::membership::{RawStrippedState, create_invite},
    },
    events::StateEventType,
};

use super::{ask::SHORT, join::raw};
use crate::room::{
    Judged, NotJudged, RoomError, Rooms, in_flight,
    invite::{STRIPPED, may_invite},
    member_content,
};

impl Rooms {
    /// Invites a user of another server. That server is told first, and may refuse; the event is
    /// put into the room when it comes back signed. The room goes on meanwhile.
    ///
    /// # Errors
    /// By the auth rules, and what the other server answers.
    pub(in crate::room) async fn invite_elsewhere(
        &self,
        room: RoomNo,
        sender: &UserId,
        target: &UserId,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, RoomError> {
        let turn = self.turn(room).await?;
        let head = turn.clone().ok_or(RoomError::Busy)?;
        drop(turn);
        // The other server is not told of what may never have happened.
        if !in_flight::succeeded(head.outcome.clone()).await {
            return Err(RoomError::Busy);
        }
        let snapshot = head.snapshot;
        if let Some(event_id) = may_invite(&snapshot, sender, target, &content)? {
            return Ok(event_id);
        }
        let deps = &self.inner.deps;
        let intent = member_content::intent(sender, target, content);
        let pdu = build::build(
            intent.template,
            &snapshot,
            sender,
            deps.clock.now(),
            &deps.signer,
        )?;
        let rules = room_versions::rules(&snapshot.version)?;
        auth::authorize(rules, &pdu, &snapshot)?;
        let pdu = match Policy::of(&snapshot) {
            Some(policy) => self.with_signature(&policy, &snapshot, &pdu).await?,
            None => pdu,
        };

        let server = target.server_name();
        let request = create_invite::v2::Request::new(
            snapshot.room_id.clone(),
            pdu.event_id().to_owned(),
            snapshot.version.clone(),
            raw(&pdu)?,
            prejoin_state(&snapshot, Some(sender))?,
        );
        let answer = deps.federation.send_with(server, request, SHORT).await;
        let answer = answer.map_err(|error| refusal(server, error))?;
        let event = self.signed_invite(server, &snapshot, &pdu, answer.event.get())?;
        let event = deps.key_ring.verify(event).await;
        let event = event.map_err(|error| bad(server, &error))?;
        match self.receive_back(room, event).await {
            Ok(Judged::Accepted | Judged::Known) => Ok(pdu.event_id().to_owned()),
            Ok(Judged::SoftFailed(reason) | Judged::Rejected(reason)) => {
                Err(RoomError::Unauthorized(reason))
            }
            Err(NotJudged::Room(error)) => Err(error),
            Err(_) => Err(RoomError::Damaged("an invite stands on what is not here")),
        }
    }

    /// Our invite with the other server's signature; nothing else of it may have changed.
    #[expect(
        clippy::unused_self,
        reason = "one place for what becomes of an invite"
    )]
    fn signed_invite(
        &self,
        server: &ServerName,
        room: &RoomSnapshot,
        ours: &Pdu,
        answer: &str,
    ) -> Result<Unverified, RoomError> {
        let event =
            Unverified::parse(answer, &room.version).map_err(|error| bad(server, &error))?;
        if event.event_id() != ours.event_id() {
            return Err(bad(server, &"the invite came back as another event"));
        }
        Ok(event)
    }
}

/// What a server may know of a room that it is not in yet: whole events, so that it can check them.
///
/// # Errors
/// The room is damaged.
pub fn prejoin_state(
    room: &RoomSnapshot,
    inviter: Option<&UserId>,
) -> Result<Vec<RawStrippedState>, RoomError> {
    let mut state = Vec::with_capacity(STRIPPED.len());
    for kind in STRIPPED {
        let state_key = match kind {
            StateEventType::RoomMember => inviter.map(UserId::as_str),
            _ => Some(""),
        };
        if let Some(event) = state_key.and_then(|key| room.get(&kind, key)) {
            state.push(RawStrippedState::Pdu(raw(&event.pdu)?));
        }
    }
    Ok(state)
}

/// What is wrong with the form of our invite is between the servers, and no mistake of the client.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid)
fn refusal(server: &ServerName, error: FederationError) -> RoomError {
    match RoomError::from(error) {
        RoomError::Refused(refusal)
            if matches!(
                refusal.kind,
                ErrorKind::InvalidParam | ErrorKind::MissingParam
            ) =>
        {
            bad(server, &refusal.message)
        }
        error => error,
    }
}

fn bad(server: &ServerName, reason: &dyn std::fmt::Display) -> RoomError {
    RoomError::BadAnswer {
        server: server.to_owned(),
        reason: reason.to_string(),
    }
}
