//! Walks over a room's timeline, and over the stretches of history in it.
//!
//! Down from an event with a seam a walk goes through what came before that event, and then on with
//! the event at the place below; up, the other way round. Where history is missing, a walk back
//! fetches it from other servers, a few times for each page. A gap that nobody fills is passed, so
//! that what is older stays in reach; at the beginning of the room there is nothing to go on with.

use std::sync::Arc;

use matryx_entity::{filter_match, stretch::Stretch, timeline::TimelineEvent};
use ruma::api::{Direction, client::filter::RoomEventFilter};

use super::{RoomError, Rooms, steps::Steps, view::View};

/// How often one page reaches back at most.
const MAX_REACHES: usize = 3;

/// The most gaps that one page passes.
const MAX_GAPS: usize = 16;

/// Events that were walked over and are shown.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// In the order of the walk.
    pub(super) events: Vec<Arc<TimelineEvent>>,
    /// The gap at which it stopped; see [`matryx_entity::token::PageToken::Gap`].
    pub(super) gap: i64,
    /// Is there nothing more to see beyond?
    pub(super) exhausted: bool,
    /// It stopped where history may be missing: before what the walk goes on with.
    seam: Option<Stretch>,
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

/// What is at the lower end of a stretch.
enum End {
    /// The walk did not get there, or is to go on there another time.
    Ahead,
    /// Nothing is missing there.
    Whole,
    /// There is more, but nobody gives it now.
    Torn,
}

impl Way {
    /// The end of the way, if it lies in the same stretch as its beginning.
    fn to_within(self) -> Option<i64> {
        let stretch = Stretch::of_gap(self.from);
        self.to.filter(|to| Stretch::of_gap(*to) == stretch)
    }
}

impl Walk {
    fn extend(&mut self, more: Self) {
        self.events.extend(more.events);
        self.gap = more.gap;
        self.exhausted = more.exhausted;
        self.seam = more.seam;
    }
}

impl Rooms {
    /// Walks and gathers what the reader is shown; back, also what other servers have.
    pub(super) async fn walk(
        &self,
        view: &View,
        way: Way,
        filter: &RoomEventFilter,
    ) -> Result<Walk, RoomError> {
        match way.direction {
            Direction::Backward => self.walk_back(view, way, filter, Some(MAX_REACHES)).await,
            Direction::Forward => self.walk_on(view, way, filter).await,
        }
    }

    /// The same with what is here and nothing else.
    pub(super) async fn walk_here(
        &self,
        view: &View,
        way: Way,
        filter: &RoomEventFilter,
    ) -> Result<Walk, RoomError> {
        match way.direction {
            Direction::Backward => self.walk_back(view, way, filter, None).await,
            Direction::Forward => self.walk_on(view, way, filter).await,
        }
    }

    /// `reaches` is how often more may be asked for; none where nobody is to be asked.
    async fn walk_back(
        &self,
        view: &View,
        mut way: Way,
        filter: &RoomEventFilter,
        mut reaches: Option<usize>,
    ) -> Result<Walk, RoomError> {
        let mut view = view.clone();
        let mut walk = Walk::default();
        let limit = way.limit;
        for _ in 0..MAX_GAPS {
            way.limit = limit - walk.events.len();
            let Some(gap) = Stretch::of_gap(way.from) else {
                let (more, _) = self
                    .walk_down(&view, way, filter, Stretch::FIRST, &mut reaches)
                    .await?;
                walk.extend(more);
                let Some(seam) = walk.seam else {
                    return Ok(walk);
                };
                walk.gap = seam.top();
                way.from = walk.gap;
                if walk.events.len() >= limit {
                    return Ok(walk);
                }
                continue;
            };
            let allowed = reaches;
            let (more, end) = self
                .walk_down(&view, way, filter, gap, &mut reaches)
                .await?;
            walk.extend(more);
            if reaches != allowed
                && let Some(room) = self.sync().room(view.room.no).await?
            {
                // What came may redact what is older.
                view.room = room;
            }
            let stays = match end {
                End::Ahead => true,
                End::Whole => false,
                End::Torn => reaches == Some(0),
            };
            if stays || way.to_within().is_some() {
                return Ok(walk);
            }
            walk.exhausted = false;
            walk.gap = gap.next_pos() - 1;
            way.from = walk.gap;
            if walk.events.len() >= limit {
                return Ok(walk);
            }
        }
        Ok(walk)
    }

    /// Walks down what this server followed and what came before, or down the stretch before an
    /// event with a seam. Once nobody had more of it, nobody is asked any more.
    async fn walk_down(
        &self,
        view: &View,
        way: Way,
        filter: &RoomEventFilter,
        stretch: Stretch,
        reaches: &mut Option<usize>,
    ) -> Result<(Walk, End), RoomError> {
        let mut way = Way {
            to: way.to_within(),
            ..way
        };
        if stretch != Stretch::FIRST {
            let lowest = self.lowest(&view.room, stretch).await?;
            way.floor = lowest.unwrap_or(stretch.top() + 1);
        }
        let limit = way.limit;
        let mut walk = Walk::default();
        loop {
            way.limit = limit - walk.events.len();
            walk.extend(self.walk_range(view, way, filter, None).await?);
            let reaches_bottom = way.to.is_none_or(|to| to < way.floor);
            if walk.events.len() >= limit || !walk.exhausted || !reaches_bottom {
                return Ok((walk, End::Ahead));
            }
            let bottom = self.bottom(&view.room, stretch).await?;
            let is_lower = bottom.lowest.is_some_and(|lowest| lowest < way.floor);
            if !is_lower {
                if bottom.missing.is_empty() {
                    return Ok((walk, End::Whole));
                }
                let has_more = match *reaches {
                    None | Some(0) => false,
                    Some(left) => {
                        let has_more = self.reach_back(&view.room, stretch).await?;
                        *reaches = has_more.then_some(left - 1);
                        has_more
                    }
                };
                if !has_more {
                    walk.exhausted = false;
                    return Ok((walk, End::Torn));
                }
            }
            let lowest = self.lowest(&view.room, stretch).await?;
            way.floor = lowest.unwrap_or(way.floor);
            way.from = walk.gap;
        }
    }

    async fn walk_on(
        &self,
        view: &View,
        mut way: Way,
        filter: &RoomEventFilter,
    ) -> Result<Walk, RoomError> {
        let mut walk = Walk::default();
        let (limit, floor) = (way.limit, way.floor);
        let mut passed = None;
        for _ in 0..MAX_GAPS {
            way.limit = limit - walk.events.len();
            let to = way.to_within();
            let Some(gap) = Stretch::of_gap(way.from) else {
                let part = Way { to, ..way };
                walk.extend(self.walk_range(view, part, filter, passed).await?);
                let Some(seam) = walk.seam.filter(|_| walk.events.len() < limit) else {
                    return Ok(walk);
                };
                let lowest = self.lowest(&view.room, seam).await?;
                way.from = lowest.map_or(seam.top(), |lowest| lowest - 1);
                continue;
            };
            let lowest = self.lowest(&view.room, gap).await?;
            let part = Way {
                to: Some(to.unwrap_or(gap.top())),
                floor: lowest.unwrap_or(gap.top() + 1),
                ..way
            };
            walk.extend(self.walk_range(view, part, filter, None).await?);
            if walk.events.len() >= limit || !walk.exhausted || to.is_some() {
                return Ok(walk);
            }
            passed = Some(gap);
            way.from = gap.next_pos() - 1;
            way.floor = floor;
            walk.exhausted = false;
        }
        Ok(walk)
    }

    /// Walks over places that follow one another, up to a seam, unless that is `passed`.
    async fn walk_range(
        &self,
        view: &View,
        way: Way,
        filter: &RoomEventFilter,
        passed: Option<Stretch>,
    ) -> Result<Walk, RoomError> {
        let viewer = view.viewer();
        let visible = view.visible();
        let mut steps = Steps::new(way, view.room.head);
        let mut events = Vec::with_capacity(way.limit.min(64));
        let mut seam = None;
        while events.len() < way.limit && seam.is_none() {
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
                let gap = event.gap().filter(|gap| Some(*gap) != passed);
                if gap.is_some() && way.direction == Direction::Forward {
                    steps.pass(event.pos - 1);
                    seam = gap;
                    break;
                }
                steps.pass(event.pos);
                if viewer.sees(&event)
                    && view.wants(&event)
                    && filter_match::passes_event(filter, &event)
                {
                    events.push(event);
                }
                if gap.is_some() {
                    seam = gap;
                    break;
                }
            }
            if events.len() < way.limit && seam.is_none() {
                steps.pass_range();
            }
        }
        Ok(Walk {
            events,
            gap: steps.gap,
            exhausted: steps.exhausted,
            seam,
        })
    }
}
