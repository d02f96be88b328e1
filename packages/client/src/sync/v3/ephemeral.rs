//! What is not part of a room's history: who types, and who has read how far.

use std::{collections::BTreeMap, sync::Arc};

use matryx_entity::{
    filter_match::{Facts, passes_in_room},
    receipt::Receipt,
    room_snapshot::RoomSnapshot,
    token::SyncToken,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, UserId, api::client::sync::sync_events::v3::Ephemeral,
    serde::Raw,
};
use serde::Serialize;
use serde_json::{json, value::to_raw_value};

use super::{view::View, window::Touch};
use crate::sync::error::SyncError;

impl View<'_> {
    pub(super) async fn ephemeral(
        &self,
        room: &RoomSnapshot,
        from: Option<&SyncToken>,
        touch: &Touch,
    ) -> Result<Ephemeral, SyncError> {
        let mut section = Ephemeral::new();
        if self.wants(room, "m.receipt") {
            match (&touch.receipts, from) {
                (Some(receipts), Some(_)) => push_receipts(&mut section, receipts.iter()),
                _ => self.push_all_receipts(room, from, &mut section).await?,
            }
        }
        if self.wants(room, "m.typing")
            && let Some((serial, users)) = self.inner().typing.room(room.no)
        {
            let known = from.map_or(0, |_| self.ephemeral_since());
            let worth_saying = from.is_some() || !users.is_empty();
            if serial > known && worth_saying {
                let content = json!({"user_ids": users});
                section.events.extend(event("m.typing", content));
            }
        }
        Ok(section)
    }

    fn wants(&self, room: &RoomSnapshot, kind: &str) -> bool {
        let facts = Facts { kind, sender: None };
        passes_in_room(&self.filter().room.ephemeral, &room.room_id, facts)
    }

    /// The receipts of a room that moved after `from`.
    async fn push_all_receipts(
        &self,
        room: &RoomSnapshot,
        from: Option<&SyncToken>,
        section: &mut Ephemeral,
    ) -> Result<(), SyncError> {
        let receipts = self.engine.receipts(room.no).await?;
        let visible = receipts.visible_to(&self.user.user).filter(|receipt| {
            self.now.covers(receipt.at) && from.is_none_or(|from| !from.covers(receipt.at))
        });
        push_receipts(section, visible);
        Ok(())
    }
}

fn push_receipts<'a>(section: &mut Ephemeral, receipts: impl Iterator<Item = &'a Arc<Receipt>>) {
    let content = receipts_content(receipts);
    if !content.is_empty() {
        section.events.extend(event("m.receipt", content));
    }
}

#[derive(Serialize)]
struct Read<'a> {
    ts: MilliSecondsSinceUnixEpoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
}

/// `{event id: {kind: {user: {ts, thread_id}}}}`.
type Content<'a> = BTreeMap<&'a EventId, BTreeMap<&'a str, BTreeMap<&'a UserId, Read<'a>>>>;

/// The content of `m.receipt`; of several receipts of one user, kind and thread the last counts.
fn receipts_content<'a>(receipts: impl Iterator<Item = &'a Arc<Receipt>>) -> Content<'a> {
    let newest: BTreeMap<_, _> = receipts
        .map(|receipt| ((&receipt.user, &receipt.kind, &receipt.thread), receipt))
        .collect();
    let mut content = Content::new();
    for receipt in newest.into_values() {
        let read = Read {
            ts: receipt.ts,
            thread_id: receipt.thread.as_deref(),
        };
        let kinds = content.entry(&receipt.event_id).or_default();
        let users = kinds.entry(receipt.kind.as_str()).or_default();
        users.insert(&receipt.user, read);
    }
    content
}

fn event<T>(kind: &str, content: impl Serialize) -> Option<Raw<T>> {
    #[derive(Serialize)]
    struct Event<'a, C> {
        content: C,
        #[serde(rename = "type")]
        kind: &'a str,
    }
    to_raw_value(&Event { content, kind })
        .ok()
        .map(Raw::from_json)
}
