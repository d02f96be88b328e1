//! Invites of third-party identifiers, once it is known whose they are.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#third-party-invites)
//!
//! An identity server vouches for it with a signature, which the auth rules hold against the keys
//! in the room's `m.room.third_party_invite`. The invite is built by the server of whoever invited
//! the identifier, and by nobody else.

use futures_util::future::join_all;
use matryx_entity::{canonical, room_snapshot::RoomSnapshot};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId, OwnedUserId, UserId,
    api::federation::thirdparty::exchange_invite,
    events::{
        StateEventType,
        room::member::{MembershipState, RoomMemberEventContent},
    },
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::ask::{Attempts, SHORT};
use crate::room::{RoomError, Rooms, member_content::content};

/// An invite whose user an identity server has named.
#[derive(Debug)]
pub struct BoundInvite {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who invited the identifier.
    pub sender: OwnedUserId,
    /// Whose it is.
    pub target: OwnedUserId,
    /// What the identity server signed.
    pub signed: Box<RawValue>,
}

#[derive(Deserialize)]
struct Signed {
    mxid: OwnedUserId,
    token: String,
}

#[derive(Deserialize)]
struct Original {
    display_name: Option<String>,
}

impl Rooms {
    /// Invites the user whom the identity server names, to a room of this server.
    ///
    /// # Errors
    /// 403 where the room has no such invite, or of somebody else, and by the auth rules; 400 for
    /// what is signed about another user.
    pub async fn invite_bound(
        &self,
        room: &RoomSnapshot,
        invite: BoundInvite,
    ) -> Result<(), RoomError> {
        let forbidden = |reason: &str| Err(RoomError::Forbidden(reason.to_owned()));
        let signed: Signed = serde_json::from_str(invite.signed.get())
            .map_err(|error| RoomError::InvalidParam(format!("signed: {error}")))?;
        if signed.mxid != invite.target {
            return Err(RoomError::InvalidParam(
                "`signed` is about another user".to_owned(),
            ));
        }
        let original = room.get(&StateEventType::RoomThirdPartyInvite, &signed.token);
        let Some(original) = original else {
            return forbidden("The room has no such third-party invite");
        };
        if *original.pdu.sender() != *invite.sender
            || invite.sender.server_name() != self.server_name()
        {
            return forbidden("The third-party invite is of somebody else");
        }
        let original = original.pdu.content_as::<Original>();
        let name = original.and_then(|original| original.display_name);
        let mut bound = CanonicalJsonObject::new();
        let text = |text: String| CanonicalJsonValue::String(text);
        bound.insert("display_name".to_owned(), text(name.unwrap_or_default()));
        let signed = canonical::parse_object(invite.signed.get())?;
        bound.insert("signed".to_owned(), CanonicalJsonValue::Object(signed));
        let mut content = content(&MembershipState::Invite, None);
        content.insert("third_party_invite".to_owned(), bound.into());
        let (rooms, room) = (self.clone(), room.no);
        self.to_the_end(async move {
            let BoundInvite { sender, target, .. } = invite;
            rooms.add_profile(&mut content, &target).await?;
            rooms.invite_now(room, &sender, &target, content).await
        })
        .await?;
        Ok(())
    }

    /// Has a user of this server invited to the rooms that wait for them, each by whoever can.
    /// What comes of it, the invites show: one that fails is logged.
    ///
    /// # Errors
    /// The user is not one of this server, or can't be invited.
    pub async fn take_bound_invites(
        &self,
        user: &UserId,
        invites: Vec<BoundInvite>,
    ) -> Result<(), RoomError> {
        self.check_invitee(user).await?;
        let rooms = self.clone();
        self.to_the_end(async move {
            let invites = invites.into_iter().map(|invite| rooms.pass_on(invite));
            join_all(invites).await;
            Ok(())
        })
        .await
    }

    async fn pass_on(&self, invite: BoundInvite) {
        let room_id = invite.room_id.clone();
        let result = if invite.sender.server_name() == self.server_name() {
            match self.resident(&room_id).await {
                Ok(room) => self.invite_bound(&room, invite).await,
                Err(error) => Err(error),
            }
        } else {
            self.exchange(&invite).await
        };
        if let Err(error) = result {
            tracing::info!(%room_id, %error, "a third-party invite came to nothing");
        }
    }

    /// Asks the server of whoever invited for the invite.
    async fn exchange(&self, invite: &BoundInvite) -> Result<(), RoomError> {
        let content = json!({
            "membership": "invite",
            "third_party_invite": { "signed": invite.signed },
        });
        let content: Raw<RoomMemberEventContent> = Raw::from_json_string(content.to_string())
            .map_err(|error| RoomError::BadJson(error.to_string()))?;
        let room_id = &invite.room_id;
        let mut attempts = Attempts::at(room_id);
        for server in self.candidates(room_id, &[], Some(&invite.sender), None) {
            let request = exchange_invite::v1::Request::new(
                room_id.clone(),
                invite.sender.clone(),
                invite.target.clone(),
                content.clone(),
            );
            let federation = &self.inner.deps.federation;
            let answer = federation.send_with(&server, request, SHORT).await;
            let answer = answer.map(|_| ()).map_err(RoomError::from);
            if let Some(end) = attempts.note(&server, answer) {
                return end;
            }
        }
        attempts.end()
    }
}
