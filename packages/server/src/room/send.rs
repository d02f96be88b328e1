//! Sending: messages, state, redactions.

use matryx_entity::{
    build::EventTemplate,
    log::ClientTransaction,
    power::{Guarded, Power},
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId,
    OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;

use super::{
    RoomError, Rooms,
    decision::{Decision, Intent},
};

/// An event that a client sends into a room.
#[derive(Debug)]
pub struct Sent {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who sends.
    pub sender: OwnedUserId,
    /// `type`.
    pub kind: TimelineEventType,
    /// `state_key` of a state event.
    pub state_key: Option<String>,
    /// `content`, as the client wrote it.
    pub content: Box<RawValue>,
    /// What makes a retry the same request; message events have one.
    pub txn: Option<ClientTransaction>,
    /// `origin_server_ts`, where an application service may set it.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl Rooms {
    /// Sends a message or state event and returns its id once it is durable.
    ///
    /// A state event that says what the room already says is not sent again: its id is returned.
    ///
    /// # Errors
    /// 403 by the auth rules; 400 for content that is not canonical JSON; 413 for too much of it.
    pub async fn send(&self, sent: Sent) -> Result<OwnedEventId, RoomError> {
        let rooms = self.clone();
        self.to_the_end(async move { rooms.send_now(sent).await })
            .await
    }

    async fn send_now(&self, sent: Sent) -> Result<OwnedEventId, RoomError> {
        let content = EventTemplate::content_from(&sent.content)?;
        if sent.kind == TimelineEventType::RoomCreate {
            return Err(RoomError::Forbidden("A room is created once".to_owned()));
        }
        let room = self.room_no(&sent.room_id).await?;
        match (&sent.kind, sent.state_key.as_deref()) {
            (TimelineEventType::RoomMember, Some(target)) => {
                return self.send_member(room, &sent.sender, target, content).await;
            }
            (TimelineEventType::RoomCanonicalAlias, Some("")) => {
                self.check_canonical_alias(room, &content).await?;
            }
            (TimelineEventType::RoomServerAcl, Some("")) => {
                self.check_server_acl(&content)?;
            }
            (TimelineEventType::RoomRedaction, None) => {
                return self.redact_by_content(room, sent, content).await;
            }
            _ => {}
        }
        self.act(room, sent.txn.as_ref(), |snapshot| {
            self.require_sender(snapshot, &sent.sender)?;
            if let Some(event_id) = unchanged(snapshot, &sent, &content) {
                return Ok(Decision::Done(event_id));
            }
            Ok(Decision::send(Intent {
                sender: sent.sender.clone(),
                template: EventTemplate {
                    kind: sent.kind.clone(),
                    state_key: sent.state_key.clone(),
                    content: content.clone(),
                    redacts: None,
                },
                ts: sent.ts,
            }))
        })
        .await
    }

    /// Redacts an event and returns the id of the redaction.
    ///
    /// # Errors
    /// 403 for somebody else's event without the power for it; 404 for an event that the room
    /// does not have.
    pub async fn redact(
        &self,
        room_id: &ruma::RoomId,
        sender: OwnedUserId,
        target: OwnedEventId,
        reason: Option<String>,
        txn: Option<ClientTransaction>,
    ) -> Result<OwnedEventId, RoomError> {
        let room = self.room_no(room_id).await?;
        let mut content = CanonicalJsonObject::new();
        if let Some(reason) = reason {
            content.insert("reason".to_owned(), CanonicalJsonValue::String(reason));
        }
        let rooms = self.clone();
        self.to_the_end(async move {
            rooms
                .redact_now(room, sender, &target, content, txn, None)
                .await
        })
        .await
    }

    /// `m.room.redaction` through the ordinary send endpoint, as room version 11 allows.
    async fn redact_by_content(
        &self,
        room: RoomNo,
        sent: Sent,
        mut content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, RoomError> {
        let target = content
            .remove("redacts")
            .and_then(|target| OwnedEventId::try_from(target.as_str()?).ok())
            .ok_or_else(|| RoomError::BadJson("a redaction needs `redacts`".to_owned()))?;
        self.redact_now(room, sent.sender, &target, content, sent.txn, sent.ts)
            .await
    }

    async fn redact_now(
        &self,
        room: RoomNo,
        sender: OwnedUserId,
        target: &EventId,
        content: CanonicalJsonObject,
        txn: Option<ClientTransaction>,
        ts: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Result<OwnedEventId, RoomError> {
        let unknown = || RoomError::UnknownEvent(target.to_owned());
        let (row, _) = self.event_in(room, target).await?.ok_or_else(unknown)?;
        let author = row.sender;
        self.act(room, txn.as_ref(), |snapshot| {
            self.require_sender(snapshot, &sender)?;
            let may_redact_others =
                || Power::of(snapshot).is_some_and(|power| power.may(&sender, Guarded::Redact));
            if author != sender && !may_redact_others() {
                return Err(RoomError::Forbidden(
                    "You may not redact other users' events".to_owned(),
                ));
            }
            Ok(Decision::send(Intent {
                sender: sender.clone(),
                template: EventTemplate {
                    kind: TimelineEventType::RoomRedaction,
                    state_key: None,
                    content: content.clone(),
                    redacts: Some(target.to_owned()),
                },
                ts,
            }))
        })
        .await
    }

    /// Only a joined user sends; the auth rules say the same with less to tell the client.
    #[expect(clippy::unused_self, reason = "reads as a question to the domain")]
    fn require_sender(&self, snapshot: &RoomSnapshot, sender: &UserId) -> Result<(), RoomError> {
        if snapshot.is_joined(sender) {
            Ok(())
        } else {
            Err(RoomError::NotInRoom(snapshot.room_id.clone()))
        }
    }

    /// A server may not shut itself out of a room.
    fn check_server_acl(&self, content: &CanonicalJsonObject) -> Result<(), RoomError> {
        use ruma::events::room::server_acl::RoomServerAclEventContent;
        let text = serde_json::to_string(content)
            .map_err(|error| RoomError::BadJson(error.to_string()))?;
        let acl: RoomServerAclEventContent =
            serde_json::from_str(&text).map_err(|error| RoomError::BadJson(error.to_string()))?;
        if acl.is_allowed(self.server_name()) {
            Ok(())
        } else {
            Err(RoomError::InvalidParam(
                "the ACL would shut out this server".to_owned(),
            ))
        }
    }
}

/// The event that already says what this state event would say, sent by the same user.
fn unchanged(
    snapshot: &RoomSnapshot,
    sent: &Sent,
    content: &CanonicalJsonObject,
) -> Option<OwnedEventId> {
    let state_key = sent.state_key.as_deref()?;
    let now = snapshot.get(&StateEventType::from(sent.kind.to_string()), state_key)?;
    (now.pdu.sender() == sent.sender
        && now.pdu.content_as::<CanonicalJsonObject>().as_ref() == Some(content))
    .then(|| now.pdu.event_id().to_owned())
}
