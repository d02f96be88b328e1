//! Aliases of other servers.

use ruma::{RoomAliasId, api::federation::query::get_room_information};

use super::ask::SHORT;
use crate::room::{AliasTarget, RoomError, Rooms};

/// The most servers that are taken from an answer.
const MAX_SERVERS: usize = 32;

impl Rooms {
    /// Where an alias of another server leads.
    ///
    /// # Errors
    /// 404 for an alias that leads nowhere; what else that server answers.
    pub(in crate::room) async fn resolve_elsewhere(
        &self,
        alias: &RoomAliasId,
    ) -> Result<AliasTarget, RoomError> {
        let request = get_room_information::v1::Request::new(alias.to_owned());
        let federation = &self.inner.deps.federation;
        let answer = federation.send_with(alias.server_name(), request, SHORT);
        let answer = answer.await.map_err(|error| match RoomError::from(error) {
            RoomError::Refused(refusal) if refusal.status == 404 => {
                RoomError::UnknownAlias(alias.to_owned())
            }
            error => error,
        })?;
        let mut servers = answer.servers;
        servers.truncate(MAX_SERVERS);
        if !servers.iter().any(|server| server == alias.server_name()) {
            servers.push(alias.server_name().to_owned());
        }
        Ok(AliasTarget {
            room_id: answer.room_id,
            servers,
        })
    }
}
