//! Reads whole timelines through `/messages` and `/sync`.

use super::writers::{Stop, call};
use crate::wire::{Call, Wire, segment, text};
use anyhow::Result;
use serde_json::Value;

/// Most pages that one walk may take: no room of an audit is that long.
const PAGES_MAX: usize = 10_000;
const PAGE: usize = 100;
const FILTER: &str = r#"{"room":{"timeline":{"limit":100}},"presence":{"types":[]}}"#;

/// An event of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) event_id: String,
    /// The message's text, unless it has none or is redacted.
    pub(crate) body: Option<String>,
}

/// Which way to page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the room's first event on.
    Forward,
    /// From its newest event back.
    Backward,
}

/// Every event of a room that its member sees.
pub(crate) async fn walk(
    wire: &mut Wire,
    room_id: &str,
    direction: Direction,
) -> Result<Vec<Seen>, Stop> {
    let dir = if direction == Direction::Forward {
        'f'
    } else {
        'b'
    };
    pages(wire, room_id, &format!("dir={dir}"), None).await
}

/// Pages on from `query` until the server names no further page.
async fn pages(
    wire: &mut Wire,
    room_id: &str,
    query: &str,
    mut from: Option<String>,
) -> Result<Vec<Seen>, Stop> {
    let base = format!("/_matrix/client/v3/rooms/{}/messages", segment(room_id));
    let mut seen = Vec::new();
    for _ in 0..PAGES_MAX {
        let at = from
            .map(|from| format!("&from={}", segment(&from)))
            .unwrap_or_default();
        let page = call(wire, Call::get(format!("{base}?{query}&limit={PAGE}{at}"))).await?;
        let chunk = events(page.get("chunk"));
        let empty = chunk.is_empty();
        seen.extend(chunk);
        from = page.get("end").and_then(Value::as_str).map(str::to_owned);
        if from.is_none() || empty {
            return Ok(seen);
        }
    }
    Err(Stop::Refused(format!(
        "/messages of {room_id} names page after page without an end"
    )))
}

/// What one `/sync` told of joined rooms: room and event ids in timeline order.
pub(crate) struct Sync {
    pub(crate) next_batch: String,
    pub(crate) events: Vec<(String, String)>,
}

/// One `/sync`, the first one where `since` is empty. A gap is filled through `/messages`.
pub(crate) async fn sync(wire: &mut Wire, since: &str, timeout_ms: u32) -> Result<Sync, Stop> {
    let mut path = format!(
        "/_matrix/client/v3/sync?timeout={timeout_ms}&filter={}",
        segment(FILTER)
    );
    if !since.is_empty() {
        path = format!("{path}&since={}", segment(since));
    }
    let answer = call(wire, Call::get(path)).await?;
    let mut found = Sync {
        next_batch: text(&answer, "next_batch")?,
        events: Vec::new(),
    };
    let Some(rooms) = answer.pointer("/rooms/join").and_then(Value::as_object) else {
        return Ok(found);
    };
    for (room_id, room) in rooms {
        let limited = room.pointer("/timeline/limited").and_then(Value::as_bool) == Some(true);
        let mut timeline = events(room.pointer("/timeline/events"));
        if limited && !since.is_empty() {
            let prev_batch = room.pointer("/timeline/prev_batch").and_then(Value::as_str);
            let query = format!("dir=b&to={}", segment(since));
            let mut gap = pages(wire, room_id, &query, prev_batch.map(str::to_owned)).await?;
            gap.reverse();
            gap.append(&mut timeline);
            timeline = gap;
        }
        let ids = timeline
            .into_iter()
            .map(|seen| (room_id.clone(), seen.event_id));
        found.events.extend(ids);
    }
    Ok(found)
}

fn events(list: Option<&Value>) -> Vec<Seen> {
    let list = list
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let seen = list.iter().filter_map(|event| {
        let event_id = event.get("event_id")?.as_str()?.to_owned();
        let body = event
            .pointer("/content/body")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Some(Seen { event_id, body })
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_redacted_message_is_seen_without_a_body() {
        let list = json!([
            { "event_id": "$1", "content": { "body": "one" } },
            { "event_id": "$2", "content": {} },
        ]);
        let expected = [("$1", Some("one")), ("$2", None)];
        let expected = expected.map(|(event_id, body)| Seen {
            event_id: event_id.to_owned(),
            body: body.map(str::to_owned),
        });
        assert_eq!(events(Some(&list)), expected);
    }
}
