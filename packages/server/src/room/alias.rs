//! Room aliases of this server.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#room-aliases)

use std::collections::BTreeSet;

use matryx_entity::{key, power::Power, room::Alias, room_snapshot::RoomSnapshot, user::User};
use matryx_surrealdb::{Plan, StoreError};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedRoomId, OwnedServerName,
    RoomAliasId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::value::to_raw_value;

use super::{RoomError, Rooms, send::Sent};
use crate::{appservice::Appservices, caller::Requester};

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasTarget {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers that are in it: this one first.
    pub servers: Vec<OwnedServerName>,
}

impl Rooms {
    /// Where an alias leads, and who can help to get there. One query, or a request to the alias's
    /// server.
    ///
    /// # Errors
    /// 404 for an alias that nobody made; 502 if its server can't be asked.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<AliasTarget, RoomError> {
        if alias.server_name() == self.server_name() {
            self.resolve_own_alias(alias).await
        } else {
            self.resolve_elsewhere(alias).await
        }
    }

    /// Where an alias of this server leads. One query.
    ///
    /// # Errors
    /// 404 for any other.
    pub async fn resolve_own_alias(&self, alias: &RoomAliasId) -> Result<AliasTarget, RoomError> {
        let record = self.local_alias(alias).await?;
        let record = record.ok_or_else(|| RoomError::UnknownAlias(alias.to_owned()))?;
        let room = self.sync().room(record.room).await?;
        Ok(AliasTarget {
            servers: room.map_or_else(Vec::new, |room| servers(&room, self.server_name())),
            room_id: record.room_id,
        })
    }

    /// The record of an alias of this server. One query.
    pub(super) async fn local_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<Option<Alias>, RoomError> {
        if alias.server_name() != self.server_name() {
            return Ok(None);
        }
        Ok(self.store().alias(alias).await?)
    }

    /// Makes an alias that leads to a room.
    ///
    /// # Errors
    /// 409 for one that exists; 400 for one of another server, and one that an application
    /// service has reserved; 403 for somebody who is not in the room.
    pub async fn create_alias(
        &self,
        caller: &Requester,
        appservices: &Appservices,
        alias: OwnedRoomAliasId,
        room_id: &RoomId,
    ) -> Result<(), RoomError> {
        self.check_local(&alias)?;
        check_name(&alias)?;
        check_reserved(caller, appservices, &alias)?;
        let view = self.joined_view(room_id, &caller.user_id).await?;
        let mut plan = Plan::new();
        plan.create(&Alias {
            alias: alias.clone(),
            room_id: room_id.to_owned(),
            room: view.room.no,
            creator: caller.user_id.clone(),
        });
        match self.store().commit(plan).await {
            Ok(_) => Ok(()),
            Err(StoreError::Exists { .. }) => Err(RoomError::AliasExists(alias)),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an alias, and the room's mention of it in `m.room.canonical_alias` if the caller
    /// may change that.
    ///
    /// # Errors
    /// 404 for one that does not exist; 403 for somebody who neither made it nor has the power to
    /// change the room's aliases nor administers the server.
    pub async fn delete_alias(
        &self,
        caller: &Requester,
        appservices: &Appservices,
        alias: OwnedRoomAliasId,
    ) -> Result<(), RoomError> {
        self.check_local(&alias)?;
        let record = self.local_alias(&alias).await?;
        let record = record.ok_or_else(|| RoomError::UnknownAlias(alias.clone()))?;
        check_reserved(caller, appservices, &alias)?;
        let room = self.sync().room(record.room).await?;
        let owned = record.creator == caller.user_id
            || caller
                .appservice
                .as_ref()
                .is_some_and(|appservice| appservice.owns_alias(&alias));
        let may = owned
            || room
                .as_ref()
                .is_some_and(|room| may_change_aliases(room, &caller.user_id))
            || self.is_admin(&caller.user_id).await?;
        if !may {
            return Err(RoomError::Forbidden(
                "You don't have permission to delete the alias".to_owned(),
            ));
        }
        let mut plan = Plan::new();
        plan.delete::<Alias>(&key![alias.as_str()]);
        self.store().commit(plan).await?;
        if let Some(room) = room {
            self.forget_canonical_alias(&room, caller, &alias).await;
        }
        Ok(())
    }

    /// The aliases of this server that lead to a room. One query.
    ///
    /// # Errors
    /// 403 for somebody who is not in the room, unless it is world-readable.
    pub async fn aliases(
        &self,
        reader: &Requester,
        room_id: &RoomId,
    ) -> Result<Vec<OwnedRoomAliasId>, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        if !view.is_joined() && !view.is_world_readable() {
            return Err(RoomError::NotInRoom(room_id.to_owned()));
        }
        let records = self.store().aliases_of_room(view.room.no).await?;
        Ok(records.into_iter().map(|record| record.alias).collect())
    }

    /// Does this user administer the server? One query.
    pub(super) async fn is_admin(&self, user: &UserId) -> Result<bool, RoomError> {
        let user = self.store().get::<User>(&User::key_of(user)).await?;
        Ok(user.is_some_and(|user| user.admin))
    }

    /// May this caller name a new room so, as far as application services have reserved aliases?
    /// A name that can't be an alias at all is refused when the room is made.
    ///
    /// # Errors
    /// 400 for an alias that an application service has reserved.
    pub fn check_alias_name(
        &self,
        caller: &Requester,
        appservices: &Appservices,
        localpart: &str,
    ) -> Result<(), RoomError> {
        match RoomAliasId::parse(format!("#{localpart}:{}", self.server_name())) {
            Ok(alias) => check_reserved(caller, appservices, &alias),
            Err(_) => Ok(()),
        }
    }

    fn check_local(&self, alias: &RoomAliasId) -> Result<(), RoomError> {
        if alias.server_name() == self.server_name() {
            Ok(())
        } else {
            Err(RoomError::InvalidParam(
                "The room alias must be of this server".to_owned(),
            ))
        }
    }

    /// Takes an alias that no longer exists out of the room's state. Best effort: the alias is
    /// gone whether or not the caller may say so in the room.
    async fn forget_canonical_alias(
        &self,
        room: &RoomSnapshot,
        caller: &Requester,
        alias: &RoomAliasId,
    ) {
        let Some(content) = without_alias(room, alias) else {
            return;
        };
        let Ok(content) = to_raw_value(&content) else {
            return;
        };
        let sent = self
            .send(Sent {
                room_id: room.room_id.clone(),
                sender: caller.user_id.clone(),
                kind: TimelineEventType::RoomCanonicalAlias,
                state_key: Some(String::new()),
                content,
                txn: None,
                ts: None,
            })
            .await;
        if let Err(error) = sent {
            tracing::debug!(%alias, %error, "the room still names a deleted alias");
        }
    }
}

/// May an alias be called so?
pub(super) fn check_name(alias: &RoomAliasId) -> Result<(), RoomError> {
    if alias.alias().chars().any(char::is_whitespace) {
        return Err(RoomError::InvalidParam(
            "A room alias may not contain spaces".to_owned(),
        ));
    }
    Ok(())
}

/// The content of the room's `m.room.canonical_alias` without an alias; none if it does not name
/// it.
fn without_alias(room: &RoomSnapshot, alias: &RoomAliasId) -> Option<CanonicalJsonObject> {
    let event = room.get(&StateEventType::RoomCanonicalAlias, "")?;
    let mut content: CanonicalJsonObject = event.pdu.content_as()?;
    let names = |value: &CanonicalJsonValue| value.as_str() == Some(alias.as_str());
    let mut changed = false;
    if content.get("alias").is_some_and(names) {
        content.remove("alias");
        changed = true;
    }
    if let Some(CanonicalJsonValue::Array(aliases)) = content.get_mut("alt_aliases") {
        let before = aliases.len();
        aliases.retain(|alias| !names(alias));
        changed |= aliases.len() != before;
        if aliases.is_empty() {
            content.remove("alt_aliases");
        }
    }
    changed.then_some(content)
}

/// May this user, who must be in the room, change its `m.room.canonical_alias`?
pub(super) fn may_change_aliases(room: &RoomSnapshot, user: &UserId) -> bool {
    room.is_joined(user)
        && Power::of(room).is_some_and(|power| {
            power.may_send(user, &TimelineEventType::RoomCanonicalAlias, Some(""))
        })
}

/// Is this alias free for this caller, as far as application services have reserved it?
fn check_reserved(
    caller: &Requester,
    appservices: &Appservices,
    alias: &RoomAliasId,
) -> Result<(), RoomError> {
    let own = caller
        .appservice
        .as_ref()
        .is_some_and(|appservice| appservice.owns_alias(alias));
    if !own && appservices.reserver_of_alias(alias).is_some() {
        return Err(RoomError::AliasReserved(alias.to_owned()));
    }
    Ok(())
}

/// The servers that are in a room, `own` first.
fn servers(room: &RoomSnapshot, own: &ruma::ServerName) -> Vec<OwnedServerName> {
    let members = room.slots(&StateEventType::RoomMember);
    let joined = members.filter(|(_, event)| {
        matryx_entity::room_snapshot::membership_of(event) == MembershipState::Join
    });
    let mut servers: BTreeSet<OwnedServerName> = joined
        .filter_map(|(user, _)| Some(<&UserId>::try_from(user).ok()?.server_name().to_owned()))
        .collect();
    servers.remove(own);
    [own.to_owned()].into_iter().chain(servers).collect()
}
