//! Pages of a room's timeline.
//!
//! A page is read in exact ranges of places. What the reader can't see at all is skipped without
//! being read; what is read and not shown (rejected, soft-failed, filtered, hidden) makes the page
//! read on, within a bound, so that a page may end early but a client always gets on.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages)

use std::{collections::HashSet, sync::Arc};

use matryx_entity::{
    filter_match, room_snapshot::RoomSnapshot, timeline::TimelineEvent, token::PageToken,
};
use ruma::{
    RoomId, UInt,
    api::{Direction, client::filter::RoomEventFilter},
    events::{AnyStateEvent, AnyTimelineEvent},
    serde::Raw,
};

use super::{
    RoomError, Rooms,
    steps::Steps,
    timeline::FIRST_POS,
    view::{Moment, View},
};
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

/// Events that were walked over and are shown.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// In the order of the walk.
    pub(super) events: Vec<Arc<TimelineEvent>>,
    /// The gap at which it stopped; see [`PageToken::Gap`].
    pub(super) gap: i64,
    /// Is there nothing more to see beyond?
    pub(super) exhausted: bool,
}

/// Where a walk goes: from a gap, at most to another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) direction: Direction,
    pub(super) from: i64,
    pub(super) to: Option<i64>,
    /// The lowest place of the room.
    pub(super) floor: i64,
    pub(super) limit: usize,
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
        let walk = match way.direction {
            Direction::Backward => self.walk_back(&view, way, request.filter).await?,
            Direction::Forward => self.walk(&view, way, request.filter).await?,
        };
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

    /// Walks over a timeline and gathers what the reader is shown.
    pub(super) async fn walk(
        &self,
        view: &View,
        way: Way,
        filter: &RoomEventFilter,
    ) -> Result<Walk, RoomError> {
        let viewer = view.viewer();
        let visible = view.visible();
        let mut steps = Steps::new(way, view.room.head);
        let mut events = Vec::with_capacity(way.limit.min(64));
        while events.len() < way.limit {
            let Some((low, high)) = steps.next(&visible, way.limit - events.len()) else {
                break;
            };
            let mut found = self.events(&view.room, low, high).await?;
            if way.direction == Direction::Backward {
                found.reverse();
            }
            for event in found {
                if events.len() == way.limit {
                    break;
                }
                steps.pass(event.pos);
                if viewer.sees(&event)
                    && view.wants(&event)
                    && filter_match::passes_event(filter, &event)
                {
                    events.push(event);
                }
            }
            if events.len() < way.limit {
                steps.pass_range();
            }
        }
        Ok(Walk {
            events,
            gap: steps.gap,
            exhausted: steps.exhausted,
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
        let gap = self.gap(room, token).await?.min(room.head);
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
