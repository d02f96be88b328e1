//! Knocking on a room that this server is not in.

use matryx_entity::room_versions;
use ruma::{
    CanonicalJsonObject, OwnedServerName, OwnedUserId, RoomId, ServerName,
    api::federation::membership::{create_knock_event, prepare_knock_event},
    events::room::member::MembershipState,
};

use super::{
    ask::{Attempts, SHORT},
    invited::stripped,
    join::raw,
    outsider::Outsider,
    template::Wish,
};
use crate::room::{RoomError, Rooms};

impl Rooms {
    /// Knocks on a room through one of these servers.
    ///
    /// # Errors
    /// What the servers answer.
    pub(in crate::room) async fn knock_elsewhere(
        &self,
        user: OwnedUserId,
        room_id: &RoomId,
        via: &[OwnedServerName],
        content: CanonicalJsonObject,
    ) -> Result<(), RoomError> {
        let servers = self.candidates(room_id, via, None, None);
        let wish = Wish {
            room_id,
            user: &user,
            membership: &MembershipState::Knock,
            content: &content,
        };
        let mut attempts = Attempts::at(room_id);
        for server in &servers {
            let attempt = self.knock_through(server, wish).await;
            if let Some(end) = attempts.note(server, attempt) {
                return end;
            }
        }
        attempts.end()
    }

    async fn knock_through(&self, server: &ServerName, wish: Wish<'_>) -> Result<(), RoomError> {
        let mut request =
            prepare_knock_event::v1::Request::new(wish.room_id.to_owned(), wish.user.to_owned());
        request.ver = room_versions::SUPPORTED.to_vec();
        let federation = &self.inner.deps.federation;
        let template = federation.send_with(server, request, SHORT).await?;
        let version = template.room_version;
        let pdu = self.fill_in(server, version.clone(), &template.event, wish)?;
        let request = create_knock_event::v1::Request::new(
            wish.room_id.to_owned(),
            pdu.event_id().to_owned(),
            raw(&pdu)?,
        );
        let answer = federation.send_with(server, request, SHORT).await?;
        let room = self.known_room(wish.room_id, &version).await?;
        let outsider = Outsider {
            user: wish.user.to_owned(),
            membership: MembershipState::Knock,
            event_id: pdu.event_id().to_owned(),
            sender: wish.user.to_owned(),
            stripped_state: Some(stripped(&answer.knock_room_state, &pdu)),
        };
        let place = (room, wish.room_id.to_owned());
        self.write_outsider(place, outsider, |now| {
            now.is_some_and(|now| now.membership == MembershipState::Join)
        })
        .await
    }
}
