//! The canonical JSON of a new event, in pieces.

use std::fmt::Write;

use ruma::OwnedEventId;

use super::{Draft, Placement};

/// The event's text but for content, hashes and signatures, cut where these belong: the keys of
/// canonical JSON are in order.
pub(super) struct Text {
    pub(super) before_content: String,
    pub(super) before_hashes: String,
    pub(super) after_hashes: String,
    pub(super) redacts: String,
    pub(super) before_signatures: String,
    pub(super) after_signatures: String,
}

impl Text {
    pub(super) fn of(draft: &Draft<'_>, placement: &Placement<'_>) -> Self {
        let mut before_content = String::with_capacity(256);
        before_content.push_str("{\"auth_events\":");
        push_ids(&mut before_content, &placement.auth_events);
        before_content.push_str(",\"content\":");

        let before_hashes = format!(",\"depth\":{},", placement.depth);

        let mut after_hashes = String::with_capacity(128);
        // Writing to a string can't fail.
        let _ = write!(after_hashes, "\"origin_server_ts\":{},", draft.ts.get());
        after_hashes.push_str("\"prev_events\":");
        push_ids(&mut after_hashes, &placement.prev_events);
        after_hashes.push(',');

        let redacts = draft
            .redacts
            .as_ref()
            .map(|id| format!("\"redacts\":{},", quoted(id.as_str())))
            .unwrap_or_default();

        let mut before_signatures = String::with_capacity(128);
        if let Some(room_id) = placement.room_id {
            before_signatures.push_str("\"room_id\":");
            before_signatures.push_str(&quoted(room_id.as_str()));
            before_signatures.push(',');
        }
        before_signatures.push_str("\"sender\":");
        before_signatures.push_str(&quoted(draft.sender.as_str()));
        before_signatures.push(',');

        let mut after_signatures = String::with_capacity(64);
        if let Some(state_key) = &draft.state_key {
            after_signatures.push_str("\"state_key\":");
            after_signatures.push_str(&quoted(state_key));
            after_signatures.push(',');
        }
        after_signatures.push_str("\"type\":");
        after_signatures.push_str(&quoted(&draft.kind.to_string()));
        after_signatures.push('}');

        Self {
            before_content,
            before_hashes,
            after_hashes,
            redacts,
            before_signatures,
            after_signatures,
        }
    }
}

fn push_ids(out: &mut String, ids: &[OwnedEventId]) {
    out.push('[');
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&quoted(id.as_str()));
    }
    out.push(']');
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    // A string can't fail to serialize.
    serde_json::to_string(text).unwrap_or_default()
}
