//! Account data, of the account and of rooms.

use matryx_entity::{
    account_data::AccountData,
    filter_match::{Facts, passes, passes_in_room},
    token::SyncToken,
};
use ruma::{
    RoomId,
    api::client::sync::sync_events::v3::{GlobalAccountData, RoomAccountData},
    serde::Raw,
};
use serde_json::value::RawValue;

use super::view::View;

impl View<'_> {
    /// What changed of the account; a client without a token also gets the push rules that nobody
    /// changed yet.
    pub(super) fn global_account_data(&self) -> GlobalAccountData {
        let mut section = GlobalAccountData::new();
        let wanted = |kind: &str| passes(&self.filter().account_data, Facts { kind, sender: None });
        let changed = self
            .user
            .account_data
            .values()
            .filter(|data| self.is_new(data.at) && wanted(&data.kind));
        section.events = changed.map(|data| raw(&data.kind, &data.content)).collect();
        let rules = "m.push_rules";
        if self.since.is_none() && wanted(rules) && !self.user.account_data.contains_key(rules) {
            let content = serde_json::json!({"global": &*self.user.push_rules.ruleset()});
            section.events.push(raw(rules, &content.to_string()));
        }
        section
    }

    /// What changed of a room after `from`.
    pub(super) fn room_account_data(
        &self,
        room_id: &RoomId,
        from: Option<&SyncToken>,
    ) -> RoomAccountData {
        let mut section = RoomAccountData::new();
        let Some(kinds) = self.user.room_account_data.get(room_id) else {
            return section;
        };
        let filter = &self.filter().room.account_data;
        let wanted = |data: &AccountData| {
            let facts = Facts {
                kind: &data.kind,
                sender: None,
            };
            self.now.covers(data.at)
                && from.is_none_or(|from| !from.covers(data.at))
                && passes_in_room(filter, room_id, facts)
        };
        let changed = kinds.values().filter(|data| wanted(data));
        section.events = changed.map(|data| raw(&data.kind, &data.content)).collect();
        section
    }
}

fn raw<T>(kind: &str, content: &str) -> Raw<T> {
    let kind = serde_json::Value::from(kind);
    let text = format!("{{\"content\":{content},\"type\":{kind}}}");
    let json = RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Raw::from_json(json)
}
