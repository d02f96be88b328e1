//! What a room may say of its own aliases.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#mroomcanonical_alias)

use matryx_entity::{key, room::Alias, room_no::RoomNo, room_snapshot::RoomSnapshot};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, RoomAliasId, events::StateEventType,
};

use super::{RoomError, Rooms};

/// How many aliases a room may name.
const MAX_ALIASES: usize = 1_000;

impl Rooms {
    /// Every alias that an `m.room.canonical_alias` event newly names must lead to the room; what
    /// the room names already may stay. At most one query.
    ///
    /// # Errors
    /// 400 for what is no alias, and for one that does not lead to the room.
    pub(super) async fn check_canonical_alias(
        &self,
        room: RoomNo,
        content: &CanonicalJsonObject,
    ) -> Result<(), RoomError> {
        let mut new = named(content)?;
        let snapshot = self.sync().room(room).await?;
        let known = snapshot.as_deref().map(named_now).unwrap_or_default();
        new.retain(|alias| !known.contains(alias));
        if new.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = new.iter().map(|alias| key![alias.as_str()]).collect();
        let records = self.store().get_many::<Alias>(&keys).await?;
        for (alias, record) in new.into_iter().zip(records) {
            if record.is_none_or(|record| record.room != room) {
                return Err(RoomError::BadAlias(alias.to_string()));
            }
        }
        Ok(())
    }
}

/// The aliases that a room names now; what is malformed is none.
fn named_now(room: &RoomSnapshot) -> Vec<OwnedRoomAliasId> {
    let event = room.get(&StateEventType::RoomCanonicalAlias, "");
    let content = event.and_then(|event| event.pdu.content_as::<CanonicalJsonObject>());
    content
        .and_then(|content| named(&content).ok())
        .unwrap_or_default()
}

/// The aliases that the content of an `m.room.canonical_alias` event names.
fn named(content: &CanonicalJsonObject) -> Result<Vec<OwnedRoomAliasId>, RoomError> {
    let alternatives = match content.get("alt_aliases") {
        None | Some(CanonicalJsonValue::Null) => &[][..],
        Some(CanonicalJsonValue::Array(aliases)) => aliases,
        Some(_) => return Err(RoomError::InvalidParam("alt_aliases is no list".to_owned())),
    };
    if alternatives.len() > MAX_ALIASES {
        return Err(RoomError::InvalidParam(format!(
            "a room names at most {MAX_ALIASES} aliases"
        )));
    }
    let canonical = content
        .get("alias")
        .filter(|alias| **alias != CanonicalJsonValue::Null);
    let aliases = canonical.into_iter().chain(alternatives).map(|alias| {
        alias
            .as_str()
            .and_then(|alias| RoomAliasId::parse(alias).ok())
            .ok_or_else(|| RoomError::InvalidParam("an alias is malformed".to_owned()))
    });
    aliases.collect()
}
