//! Rejecting an invite to, and taking back a knock on, a room that this server is not in.

use matryx_entity::{member::Member, pdu::Pdu};
use ruma::{
    CanonicalJsonObject, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, ServerName,
    api::federation::membership::{create_leave_event, prepare_leave_event},
    events::room::member::MembershipState,
};

use serde::Deserialize;

use super::{
    ask::{Attempts, SHORT},
    join::raw,
    outsider::Outsider,
    template::Wish,
};
use crate::room::{RoomError, Rooms};

impl Rooms {
    /// Ends an invite or a knock. The user is rid of it whatever the other servers say: they may
    /// be gone for good.
    ///
    /// # Errors
    /// The database can't be written to.
    pub(in crate::room) async fn leave_elsewhere(
        &self,
        user: OwnedUserId,
        room_id: &RoomId,
        now: Member,
        content: CanonicalJsonObject,
    ) -> Result<(), RoomError> {
        let room = self.store().room(now.room).await?;
        let version = room.map_or(RoomVersionId::V1, |room| room.version);
        let known = match now.membership {
            MembershipState::Knock => servers_told(now.stripped_state.as_deref()),
            _ => Vec::new(),
        };
        let servers = self.candidates(room_id, &known, Some(&now.sender), None);
        let wish = Wish {
            room_id,
            user: &user,
            membership: &MembershipState::Leave,
            content: &content,
        };
        let mut attempts = Attempts::at(room_id);
        let mut left = None;
        for server in &servers {
            let attempt = self.leave_through(server, version.clone(), wish).await;
            left = attempts.note(server, attempt);
            if left.is_some() {
                break;
            }
        }
        let left = left.unwrap_or_else(|| attempts.end());
        let event_id = match left {
            Ok(leave) => leave.event_id().to_owned(),
            Err(error) => {
                tracing::info!(%room_id, %error, "an invite is rejected without its servers");
                now.event_id.clone()
            }
        };
        let outsider = Outsider {
            user: user.clone(),
            membership: MembershipState::Leave,
            event_id,
            sender: user.clone(),
            stripped_state: None,
        };
        let place = (now.room, room_id.to_owned());
        self.write_outsider(place, outsider, |then| {
            // Another invite, or a join, that came meanwhile stands.
            then.is_none_or(|then| then.event_id != now.event_id)
        })
        .await
    }

    async fn leave_through(
        &self,
        server: &ServerName,
        version: RoomVersionId,
        wish: Wish<'_>,
    ) -> Result<Pdu, RoomError> {
        let request =
            prepare_leave_event::v1::Request::new(wish.room_id.to_owned(), wish.user.to_owned());
        let federation = &self.inner.deps.federation;
        let template = federation.send_with(server, request, SHORT).await?;
        let version = template.room_version.unwrap_or(version);
        let pdu = self.fill_in(server, version, &template.event, wish)?;
        let request = create_leave_event::v2::Request::new(
            wish.room_id.to_owned(),
            pdu.event_id().to_owned(),
            raw(&pdu)?,
        );
        federation.send_with(server, request, SHORT).await?;
        Ok(pdu)
    }
}

/// The servers of those who made the state that a user was told with the answer to a knock: the
/// id of a room may name none.
fn servers_told(stripped_state: Option<&str>) -> Vec<OwnedServerName> {
    #[derive(Deserialize)]
    struct Told {
        sender: OwnedUserId,
    }
    let told = stripped_state.and_then(|text| serde_json::from_str::<Vec<Told>>(text).ok());
    let told = told.unwrap_or_default().into_iter();
    told.map(|event| event.sender.server_name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_tells_servers() {
        let told =
            r#"[{"sender":"@a:one.example","type":"m.room.name"},{"sender":"@b:two.example"}]"#;
        assert_eq!(servers_told(Some(told)), ["one.example", "two.example"]);
        assert!(servers_told(Some("no JSON")).is_empty());
        assert!(servers_told(None).is_empty());
    }
}
