//! Pages of a room's timeline.
//!
//! A page is read in exact ranges of places. What the reader can't see at all is skipped without
//! being read; what is read and not shown (rejected, soft-failed, filtered, hidden) makes the page
//! read on, within a bound, so that a page may end early but a client always gets on.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages)

use std::{collections::HashSet, sync::Arc};

use matryx_entity::{
    room_snapshot::RoomSnapshot,
    stretch::{FIRST_POS, Stretch},
    timeline::TimelineEvent,
    token::PageToken,
};
use ruma::{
    RoomId, UInt,
    api::{Direction, client::filter::RoomEventFilter},
    events::{AnyStateEvent, AnyTimelineEvent},
    serde::Raw,
};

use super::{RoomError, Rooms, view::Moment, walk::Way};
use crate::caller::Requester;

/// The most events of a page.
pub(super) const MAX_PAGE: usize = 1_000;

/// Which page of a timeline is wanted.
#[derive(Debug)]
pub struct PageRequest<'a> {
    /// Where it begins; the end of the room that `direction` comes from if absent.
    pub from: Option<&'a str>,
    /// Where it ends at the latest.
    pub to: Option<&'a str>,
    /// Into the past or the future.
    pub direction: Direction,
    /// How many events at most.
    pub limit: UInt,
    /// Which events.
    pub filter: &'a RoomEventFilter,
}

/// A page of a timeline.
#[derive(Debug)]
pub struct Page {
    /// Where it began.
    pub start: PageToken,
    /// Where the next one begins; none when there is nothing more to see.
    pub end: Option<PageToken>,
    /// The events, in the order of the direction.
    pub chunk: Vec<Raw<AnyTimelineEvent>>,
    /// The senders' member events, for a filter that loads members lazily.
    pub state: Vec<Raw<AnyStateEvent>>,
}

impl Rooms {
    /// A page of a room's timeline: at most one query for events that are still in memory, two or
    /// three otherwise.
    ///
    /// # Errors
    /// 403 for somebody who is not and never was in the room, unless it is world-readable; 400
    /// for a token that is none.
    pub async fn messages(
        &self,
        reader: &Requester,
        room_id: &RoomId,
        request: PageRequest<'_>,
    ) -> Result<Page, RoomError> {
        let view = self.view(room_id, &reader.user_id).await?;
        // Whoever may read a state of the room may page through what they see of it.
        view.moment()?;
        let floor = self.floor(&view.room).await?;
        let from = match request.from {
            Some(token) => self.gap(&view.room, token).await?,
            None if request.direction == Direction::Backward => view.room.head,
            None => floor - 1,
        };
        let to = match request.to {
            Some(token) => Some(self.gap(&view.room, token).await?),
            None => None,
        };
        let way = Way {
            direction: request.direction,
            from,
            to,
            floor,
            limit: page_size(request.limit),
        };
        let walk = self.walk(&view, way, request.filter).await?;
        let state = match walk.events.first() {
            Some(first) if !request.filter.lazy_load_options.is_disabled() => {
                let senders = senders(&walk.events);
                self.members_at(&view.room, first, senders).await?
            }
            _ => Vec::new(),
        };
        // As Synapse does, a page that shows something always has an end, even at the end of the
        // history: clients and test suites of the field count on it.
        let over = walk.exhausted && walk.events.is_empty();
        Ok(Page {
            start: PageToken::Gap(from),
            end: (!over).then_some(PageToken::Gap(walk.gap)),
            chunk: self
                .render(&view, reader.device_id.as_deref(), &walk.events)
                .await?,
            state: self.render_state(&state),
        })
    }

    /// The place of a token in a room's timeline. For a token of `/sync` that is older than what
    /// is in memory, a query for each factor of 32 of the room's length.
    pub(super) async fn gap(&self, room: &RoomSnapshot, token: &str) -> Result<i64, RoomError> {
        let token: PageToken = token
            .parse()
            .map_err(|error| RoomError::InvalidParam(format!("`{token}`: {error}")))?;
        if let Some(gap) = token.gap(room) {
            return Ok(gap);
        }
        let PageToken::Moment(moment) = token else {
            return Ok(room.head);
        };
        let covered = |event: &TimelineEvent| moment.covers(event.at());
        let last = self.last_event_where(room, FIRST_POS, covered).await?;
        Ok(last.unwrap_or(0))
    }

    /// The moment that a token stands for, but no later than `latest`.
    pub(super) async fn moment_of(
        &self,
        room: &RoomSnapshot,
        token: &str,
        latest: Moment,
    ) -> Result<Moment, RoomError> {
        let mut gap = self.gap(room, token).await?.min(room.head);
        if let Some(stretch) = Stretch::of_gap(gap)
            && self.event_at(room, gap).await?.is_none()
        {
            // What was there before is not known here; what came next knows its state.
            gap = stretch.next_pos();
        }
        Ok(match latest {
            Moment::Now if gap == room.head => Moment::Now,
            Moment::Now => Moment::After(gap),
            Moment::After(pos) => Moment::After(gap.min(pos)),
        })
    }
}

/// A page's size from what a client asks for.
pub(super) fn page_size(limit: UInt) -> usize {
    usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE)
}

/// Who sent these events.
pub(super) fn senders(events: &[Arc<TimelineEvent>]) -> HashSet<ruma::OwnedUserId> {
    let senders = events.iter().map(|event| event.pdu.sender().to_owned());
    senders.collect()
}
