//! What surrounds an event.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid)

use std::sync::Arc;

use matryx_entity::{filter_match, timeline::TimelineEvent, token::PageToken};
use ruma::{
    EventId, RoomId, UInt,
    api::{Direction, client::filter::RoomEventFilter},
    events::{AnyStateEvent, AnyTimelineEvent},
    serde::Raw,
};

use super::{
    RoomError, Rooms,
    messages::{page_size, senders},
    state_at::Slots,
    walk::Way,
};
use crate::caller::Requester;

/// The most events around the one that is asked for.
const MAX_CONTEXT: usize = 100;

/// An event and what surrounds it.
#[derive(Debug)]
pub struct Context {
    /// Where a page backward continues.
    pub start: PageToken,
    /// Where a page forward continues.
    pub end: PageToken,
    /// Newest first.
    pub before: Vec<Raw<AnyTimelineEvent>>,
    /// The event.
    pub event: Raw<AnyTimelineEvent>,
    /// Oldest first.
    pub after: Vec<Raw<AnyTimelineEvent>>,
    /// The state after the last of these events.
    pub state: Vec<Raw<AnyStateEvent>>,
}

impl Rooms {
    /// An event with half of `limit` events before it and the rest after it, and the state after
    /// the last of them.
    ///
    /// # Errors
    /// 404 for an event that is not in the room; 403 for one that the caller may not see.
    pub async fn context(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        event_id: &EventId,
        limit: UInt,
        filter: &RoomEventFilter,
    ) -> Result<Context, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        let room = &view.room;
        let Some(event) = self.event_by_id(room, event_id).await? else {
            // Somebody who may not look at the room learns nothing of what is in it.
            view.moment()?;
            return Err(RoomError::UnknownEvent(event_id.to_owned()));
        };
        if !view.viewer().sees(&event) {
            return Err(RoomError::Forbidden(
                "You don't have permission to access that event".to_owned(),
            ));
        }

        let limit = page_size(limit).min(MAX_CONTEXT);
        let way = Way {
            direction: Direction::Backward,
            from: event.place_before(),
            to: None,
            floor: self.floor(room).await?,
            limit: limit / 2,
        };
        let before = self.walk(&view, way, filter).await?;
        let way = Way {
            direction: Direction::Forward,
            from: event.pos,
            limit: limit - limit / 2,
            ..way
        };
        let after = self.walk(&view, way, filter).await?;

        let last = after.events.last().unwrap_or(&event);
        let mut users = senders(&before.events);
        users.extend(senders(&after.events));
        users.insert(event.pdu.sender().to_owned());
        let slots = if filter.lazy_load_options.is_disabled() {
            Slots::All
        } else {
            Slots::LazyMembers(&users)
        };
        let mut state = self.state_after(room, last, slots).await?;
        state.retain(|event| filter_match::passes_event(filter, event));

        let (start, end) = (before.gap, after.gap);
        let mut events: Vec<Arc<TimelineEvent>> = before.events;
        let before_count = events.len();
        events.push(event);
        events.extend(after.events);
        let mut rendered = self
            .render(&view, reader.device_id.as_deref(), &events)
            .await?;
        let after = rendered.split_off((before_count + 1).min(rendered.len()));
        let Some(event) = rendered.pop() else {
            return Err(RoomError::UnknownEvent(event_id.to_owned()));
        };
        Ok(Context {
            start: PageToken::Gap(start),
            end: PageToken::Gap(end),
            before: rendered,
            event,
            after,
            state: self.render_state(&state),
        })
    }

    /// One event.
    ///
    /// # Errors
    /// 404 for an event that is not in the room, or that the caller may not see.
    pub async fn event(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<Raw<AnyTimelineEvent>, RoomError> {
        let unknown = || RoomError::UnknownEvent(event_id.to_owned());
        let Some(room) = self.sync().room_by_id(room_id).await? else {
            return Err(unknown());
        };
        let view = self.view(&room.room_id, &reader.user_id).await?;
        let event = self
            .event_by_id(&view.room, event_id)
            .await?
            .filter(|event| view.viewer().sees(event))
            .ok_or_else(unknown)?;
        let mut rendered = self
            .render(&view, reader.device_id.as_deref(), &[event])
            .await?;
        rendered.pop().ok_or_else(unknown)
    }
}
