//! The content of `m.room.member` events, and the one way to send them.

use matryx_entity::{
    build::EventTemplate,
    key,
    profile::{self, Profile},
    room_no::RoomNo,
    room_snapshot::RoomSnapshot,
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use super::{
    RoomError, Rooms,
    decision::{Decision, Intent},
};

/// Content with a membership and, where there is one, a reason.
pub(super) fn content(membership: &MembershipState, reason: Option<&str>) -> CanonicalJsonObject {
    let mut content = CanonicalJsonObject::new();
    set(&mut content, "membership", Some(membership.as_str()));
    set(&mut content, "reason", reason);
    content
}

/// Sets a string field; nothing when there is no value.
pub(super) fn set(content: &mut CanonicalJsonObject, field: &str, value: Option<&str>) {
    if let Some(value) = value {
        content.insert(
            field.to_owned(),
            CanonicalJsonValue::String(value.to_owned()),
        );
    }
}

/// An `m.room.member` event.
pub(super) fn intent(sender: &UserId, target: &UserId, content: CanonicalJsonObject) -> Intent {
    Intent::new(
        sender,
        EventTemplate::state(TimelineEventType::RoomMember, target.as_str(), content),
    )
}

impl Rooms {
    /// Adds the display name and avatar of a local user's profile.
    pub(super) async fn add_profile(
        &self,
        content: &mut CanonicalJsonObject,
        user: &UserId,
    ) -> Result<(), RoomError> {
        if user.server_name() == self.server_name()
            && let Some(profile) = self.store().get::<Profile>(&key![user.as_str()]).await?
        {
            let fields = profile.fields();
            for name in [profile::DISPLAY_NAME, profile::AVATAR_URL] {
                set(
                    content,
                    name,
                    fields.get(name).and_then(serde_json::Value::as_str),
                );
            }
        }
        Ok(())
    }

    /// An `m.room.member` event that a client put as plain state: the act that its membership
    /// names, with the client's own content.
    pub(super) async fn send_member(
        &self,
        room: RoomNo,
        sender: &UserId,
        target: &str,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, RoomError> {
        let target = OwnedUserId::try_from(target)
            .map_err(|error| RoomError::InvalidParam(format!("state_key: {error}")))?;
        let membership = content
            .get("membership")
            .and_then(CanonicalJsonValue::as_str)
            .map(MembershipState::from)
            .ok_or_else(|| RoomError::BadJson("`membership` is missing".to_owned()))?;
        match membership {
            MembershipState::Join if sender == target => {
                self.join_now(room, &target, content).await
            }
            MembershipState::Invite => self.invite_now(room, sender, &target, content).await,
            _ => self.put_member(room, sender, &target, content).await,
        }
    }

    /// Sends an `m.room.member` event, unless the room already says the same.
    pub(super) async fn put_member(
        &self,
        room: RoomNo,
        sender: &UserId,
        target: &UserId,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, RoomError> {
        self.act(room, None, |snapshot| {
            if let Some(event_id) = same_member(snapshot, sender, target, &content) {
                return Ok(Decision::Done(event_id));
            }
            Ok(Decision::send(intent(sender, target, content.clone())))
        })
        .await
    }
}

/// The member event that already has this content from this sender. Anybody else's is for the
/// auth rules to judge.
pub(super) fn same_member(
    snapshot: &RoomSnapshot,
    sender: &UserId,
    target: &UserId,
    content: &CanonicalJsonObject,
) -> Option<OwnedEventId> {
    let now = snapshot.get(&StateEventType::RoomMember, target.as_str())?;
    (now.pdu.sender() == sender
        && now.pdu.content_as::<CanonicalJsonObject>().as_ref() == Some(content))
    .then(|| now.pdu.event_id().to_owned())
}
