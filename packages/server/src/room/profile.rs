//! Carrying a changed profile into the rooms that its user is in.

use ruma::{CanonicalJsonObject, OwnedUserId, UserId};

use super::{
    RoomError, Rooms,
    decision::Decision,
    member_content::{self, same_member, set},
};
use matryx_entity::profile;
use ruma::events::StateEventType;

impl Rooms {
    /// Sends the user's profile as it is now into every joined room whose member event says
    /// something else. Rooms that refuse (the user may have been banned meanwhile) are passed over.
    ///
    /// # Errors
    /// The database failed; calling again goes on with the rooms that are left.
    pub async fn propagate_profile(&self, user: &UserId) -> Result<(), RoomError> {
        let user = user.to_owned();
        let rooms = self.clone();
        self.to_the_end(async move { rooms.propagate_now(&user).await })
            .await
    }

    async fn propagate_now(&self, user: &OwnedUserId) -> Result<(), RoomError> {
        let mut fields = CanonicalJsonObject::new();
        self.add_profile(&mut fields, user).await?;
        let view = self.sync().user(user).await?;
        for member in view.joined() {
            let sent = self
                .act(member.room, None, |snapshot| {
                    let now = snapshot
                        .get(&StateEventType::RoomMember, user.as_str())
                        .filter(|_| snapshot.is_joined(user))
                        .ok_or_else(|| RoomError::NotInRoom(snapshot.room_id.clone()))?;
                    let mut content = now
                        .pdu
                        .content_as::<CanonicalJsonObject>()
                        .unwrap_or_default();
                    content.remove("reason");
                    content.remove("join_authorised_via_users_server");
                    for name in [profile::DISPLAY_NAME, profile::AVATAR_URL] {
                        content.remove(name);
                        set(
                            &mut content,
                            name,
                            fields.get(name).and_then(|value| value.as_str()),
                        );
                    }
                    if let Some(event_id) = same_member(snapshot, user, user, &content) {
                        return Ok(Decision::Done(event_id));
                    }
                    Ok(Decision::send(member_content::intent(user, user, content)))
                })
                .await;
            match sent {
                Err(error @ (RoomError::Store(_) | RoomError::Sync(_))) => return Err(error),
                Err(error) => {
                    tracing::info!(%user, room = %member.room_id, %error, "profile not carried into a room");
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
