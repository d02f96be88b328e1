//! Which events a client's filter lets through.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#filtering)

use ruma::{
    OwnedUserId, RoomId, UserId,
    api::client::filter::{Filter, RoomEventFilter, RoomFilter, UrlFilter},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{glob, timeline::TimelineEvent};

/// What a filter looks at, of an event of any sort.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// `type`.
    pub kind: &'a str,
    /// `sender`, where there is one.
    pub sender: Option<&'a UserId>,
}

/// Does a filter for events without a room (presence, account data) let an event through?
pub fn passes(filter: &Filter, facts: Facts<'_>) -> bool {
    passes_kind(filter.types.as_deref(), &filter.not_types, facts.kind)
        && passes_sender(filter.senders.as_deref(), &filter.not_senders, facts.sender)
}

/// Does a filter for events in a room let through what is not a timeline event (typing, receipts,
/// room account data)?
pub fn passes_in_room(filter: &RoomEventFilter, room_id: &RoomId, facts: Facts<'_>) -> bool {
    passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id)
        && passes_kind(filter.types.as_deref(), &filter.not_types, facts.kind)
        && passes_sender(filter.senders.as_deref(), &filter.not_senders, facts.sender)
}

/// Does a filter let a timeline or state event through?
pub fn passes_event(filter: &RoomEventFilter, event: &TimelineEvent) -> bool {
    let pdu = &event.pdu;
    // The type is text only here; most filters don't look.
    let looks_at_kind = filter.types.is_some() || !filter.not_types.is_empty();
    passes_room(filter.rooms.as_deref(), &filter.not_rooms, pdu.room_id())
        && (!looks_at_kind
            || passes_kind(
                filter.types.as_deref(),
                &filter.not_types,
                &pdu.kind().to_string(),
            ))
        && passes_sender(
            filter.senders.as_deref(),
            &filter.not_senders,
            Some(pdu.sender()),
        )
        && passes_url(filter.url_filter, pdu.content())
}

/// Does the filter of a sync request want anything of a room?
pub fn wants_room(filter: &RoomFilter, room_id: &RoomId) -> bool {
    passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id)
}

fn passes_room<R: AsRef<RoomId>>(rooms: Option<&[R]>, not_rooms: &[R], room_id: &RoomId) -> bool {
    !not_rooms.iter().any(|room| room.as_ref() == room_id)
        && rooms.is_none_or(|rooms| rooms.iter().any(|room| room.as_ref() == room_id))
}

fn passes_kind(types: Option<&[String]>, not_types: &[String], kind: &str) -> bool {
    !not_types
        .iter()
        .any(|pattern| glob::star_matches(pattern, kind))
        && types.is_none_or(|types| {
            types
                .iter()
                .any(|pattern| glob::star_matches(pattern, kind))
        })
}

fn passes_sender(
    senders: Option<&[OwnedUserId]>,
    not_senders: &[OwnedUserId],
    sender: Option<&UserId>,
) -> bool {
    let Some(sender) = sender else {
        // An event without a sender is from nobody on either list.
        return senders.is_none();
    };
    !not_senders.iter().any(|user| user == sender)
        && senders.is_none_or(|senders| senders.iter().any(|user| user == sender))
}

fn passes_url(filter: Option<UrlFilter>, content: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        url: Option<&'a RawValue>,
    }

    let Some(filter) = filter else {
        return true;
    };
    let has_url = serde_json::from_str::<Content<'_>>(content.get())
        .is_ok_and(|content| content.url.is_some_and(|url| url.get().starts_with('"')));
    match filter {
        UrlFilter::EventsWithUrl => has_url,
        UrlFilter::EventsWithoutUrl => !has_url,
    }
}
